"""Synthetic users with planted taste, and dry runs of the benchmarks that are made of them."""

import json

import numpy as np
import pytest
import torch

import recae
from evaluation.kit.synthetic import HEAD, MOST_GROUPS, Catalogue, by_chance, in_taste, shape
from evaluation.speed import million, scaling


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.plant(4000, seed=3)


@pytest.fixture(scope="module")
def people(catalogue):
    return catalogue.people(150_000, mean=11, seed=3)  # more than one chunk


def test_every_item_is_in_one_group_and_sizes_have_a_long_tail(catalogue):
    assert (np.sort(catalogue.order) == np.arange(4000)).all()
    assert (np.bincount(catalogue.group) == catalogue.sizes).all() and len(catalogue.sizes) == 63
    assert (catalogue.sizes >= 1).all() and (np.diff(catalogue.sizes) <= 1).all()
    # 1 / (rank + 10): the first of 63 weighs 72 / 10 times as much as the last.
    assert catalogue.sizes[0] / catalogue.sizes[-1] == pytest.approx(7.2, rel=0.1)
    assert len(Catalogue.plant(1).group) == 1


def test_the_matrix_is_canonical_and_of_the_size_asked_for(people):
    matrix = people.matrix
    assert matrix.shape == (150_000, 4000) and matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    recae.data.csr.check_canonical(matrix)
    assert (matrix.data == 1).all() and matrix.nnz / 150_000 == pytest.approx(11, rel=0.02)
    lengths = np.diff(matrix.indptr)
    assert lengths.min() >= 1 and np.percentile(lengths, 99) > 4 * np.median(lengths)


def test_users_keep_to_their_groups_but_for_the_strays(catalogue, people):
    liked = people.groups[:20_000]
    assert liked.shape[1] == MOST_GROUPS and (liked[:, 0] >= 0).all()
    matrix = people.matrix[:20_000]
    rows = np.repeat(np.arange(20_000), np.diff(matrix.indptr))
    items = matrix.indices[:, None]  # lists of one
    share = in_taste(catalogue, liked[rows], items)
    assert 0.8 < share < 0.92  # 0.85, and the strays that happen to fit, less what came twice
    # The middle of a long-tailed group: half the draws are of ranks below it.
    first = catalogue.order[: catalogue.sizes[0]]
    counts = np.bincount(people.matrix.indices, minlength=4000)[first]
    middle = HEAD * ((1 + catalogue.sizes[0] / HEAD) ** 0.5 - 1)
    assert counts[: round(middle)].sum() / counts.sum() == pytest.approx(0.5, abs=0.05)
    ranks = np.arange(len(first))
    assert np.corrcoef(1 / (ranks + HEAD), counts)[0, 1] > 0.97


def test_a_seed_is_a_population(catalogue, people):
    again = catalogue.people(150_000, mean=11, seed=3)
    assert (again.matrix != people.matrix).nnz == 0 and (again.groups == people.groups).all()
    others = catalogue.people(1000, mean=11, seed=4)
    assert (others.matrix != people.matrix[:1000]).nnz > 0


def test_shares_in_taste_by_hand():
    catalogue = Catalogue(
        np.array([0, 0, 0, 1, 1, 2], dtype=np.int32),
        np.arange(6, dtype=np.int32),
        np.array([0, 3, 5, 6]),
    )
    groups = np.array([[0, -1, -1], [1, 2, 1]], dtype=np.int32)
    lists = np.array([[0, 1, 3], [5, 0, -1]])
    assert in_taste(catalogue, groups, lists) == pytest.approx(3 / 5)
    assert by_chance(catalogue, groups) == pytest.approx((3 / 6 + 3 / 6) / 2)


def test_shapes_for_curves_have_the_same_interactions():
    sizes = [shape(3000, n_items, 60_000).nnz for n_items in (1000, 30_000)]
    assert sizes == pytest.approx([60_000, 60_000], rel=0.05)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_a_dry_run_of_a_million(capsys):
    command = "--users 3000 --items 2500 --epochs 6 --samples 500 --width 16 --lr 0.01"
    assert million.main(f"{command} --batch-size 100 --asked 200 --threads 1".split()) == 0
    out = capsys.readouterr().out
    assert "softmax='sampled'" in out and "peak memory" in out
    lines = [line for line in out.splitlines() if "in their groups" in line]
    assert [line.split(":")[0] for line in lines] == ["training users", "strangers"]
    for line in lines:
        model, popularity, chance = (
            float(word.strip("%;.,")) for word in line.split() if "%" in word
        )
        assert model > 2 * popularity > 2 * chance


@pytest.mark.usefixtures("threads")
def test_time_ends_the_training(capsys):
    command = "--users 500 --items 400 --epochs 50 --samples 50 --width 4 --seconds 0.000001"
    assert million.main(f"{command} --asked 50 --threads 1".split()) == 0
    assert "median of 1" in capsys.readouterr().out


@pytest.mark.usefixtures("threads")
def test_a_dry_run_of_scaling(capsys, tmp_path):
    picture = tmp_path / "scaling.png"
    command = "--items 600 1200 --users 300 --mean 10 --interactions 3000 6000 --at 800 --rounds 1"
    more = f"--width 8 --batch-size 100 --samples 200 --threads 1 --picture {picture}"
    assert scaling.main(f"{command} {more}".split()) == 0
    slopes = json.loads(capsys.readouterr().out.splitlines()[-2])
    assert set(slopes) == {
        f"{output} by {by}" for output in ("sampled", "full") for by in ("items", "interactions")
    }
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_slopes_are_exponents():
    cubes = {size: [0.5 * size**3] * 3 for size in (2, 4, 8, 16)}
    assert scaling.exponent(cubes) == pytest.approx(3)
    assert scaling.exponent({10: [1.0], 100: [1.0]}) == 0
    assert np.isnan(scaling.exponent({10: [1.0]}))
