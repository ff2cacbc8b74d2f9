"""compress_embeddings: the bytes asked for, codes that are near, search that is exact, refusals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.apply.compress.pursuit import nearest, pursue, quantise, refine, table
from recae.errors import ConfigError, DataError, StorageError
from tests.laws import assert_same_scores

QUICK: dict[str, Any] = {"epochs": 3, "rounds": 2}


def planted(n: int, seed: int, width: int = 24, units: int = 40, active: int = 3) -> np.ndarray:
    """Vectors that are sums of a few of 40 directions, of lengths from 0.2 to 5."""
    atoms = np.random.default_rng(99).normal(size=(units, width))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    codes = np.zeros((n, units))
    chosen = np.argsort(rng.random((n, units)), axis=1)[:, :active]
    np.put_along_axis(codes, chosen, rng.choice([-1, 1], (n, active)) * rng.uniform(1, 2), 1)
    return (codes @ atoms * rng.uniform(0.2, 5, (n, 1))).astype(np.float32)


def lost(vectors: np.ndarray, decoded: np.ndarray) -> float:
    return float(np.square(vectors - decoded).sum() / np.square(vectors).sum())


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return planted(600, seed=0)


@pytest.fixture(scope="module")
def small(vectors: np.ndarray) -> recae.apply.compress.CompressedEmbeddings:
    biases = np.linspace(-3, 7, len(vectors))
    return recae.apply.compress.compress_embeddings(vectors, 20, biases=biases, units=64, **QUICK)


def test_every_byte_is_counted(
    small: recae.apply.compress.CompressedEmbeddings, tmp_path: Path
) -> None:
    assert small.bytes_per_item == small.records.shape[1] <= 20
    assert small.n_bytes == 600 * small.bytes_per_item + small.shared_bytes
    least = 64 * 24 * small.shared.dictionary.itemsize
    assert least < small.shared_bytes < least + 4 * (64 + 24 + 2**10 + 8 * (256 + 24)) + 8
    written = sum(file.stat().st_size for file in small.save(tmp_path / "small").iterdir())
    assert small.n_bytes < written < small.n_bytes + 2500


def test_saved_and_loaded_it_is_the_same(
    small: recae.apply.compress.CompressedEmbeddings, vectors: np.ndarray, tmp_path: Path
) -> None:
    again = recae.load(small.save(tmp_path / "small"))
    assert repr(again) == repr(small)
    np.testing.assert_array_equal(again.vectors(), small.vectors())
    np.testing.assert_array_equal(again.biases(), small.biases())
    np.testing.assert_array_equal(
        again.index().scores(vectors[:3]), small.index().scores(vectors[:3])
    )
    with pytest.raises(StorageError, match="exists"):
        small.save(tmp_path / "small")


@pytest.mark.parametrize("change", ["cut", "flip", "swap"])
def test_what_is_altered_is_refused(
    small: recae.apply.compress.CompressedEmbeddings, tmp_path: Path, change: str
) -> None:
    folder = small.save(tmp_path / "small")
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if change == "cut":
        content = content[:-1]
    elif change == "flip":
        content[-5] ^= 1
    else:
        recae.Autoencoder(latent=2, epochs=1).fit(np.eye(6)).save(tmp_path / "other")
        content = bytearray((tmp_path / "other" / "model.safetensors").read_bytes())
    weights.write_bytes(content)
    with pytest.raises(DataError, match="model.safetensors"):
        recae.load(folder)


def test_sparse_products_are_those_of_the_decoded_vectors(
    small: recae.apply.compress.CompressedEmbeddings,
) -> None:
    queries = np.random.default_rng(1).normal(size=(300, 24)).astype(np.float32)
    index = small.index()
    expected = queries.astype(np.float64) @ small.vectors().T.astype(np.float64) + small.biases()
    found = index.scores(queries)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert_same_scores(index.scores(queries[7:8]), found[7:8])
    top = index.search(queries, k=5)
    np.testing.assert_array_equal(top.items, np.argsort(-found, axis=1, kind="stable")[:, :5])
    np.testing.assert_array_equal(top.scores, np.take_along_axis(found, top.items, axis=1))


def test_what_is_excluded_does_not_come_back(
    small: recae.apply.compress.CompressedEmbeddings,
) -> None:
    queries = np.random.default_rng(1).normal(size=(2, 24)).astype(np.float32)
    index = small.index()
    first = index.search(queries, k=4).items
    seen = sp.csr_matrix((np.ones(2), ([0, 1], first[:, 0])), shape=(2, 600))
    np.testing.assert_array_equal(index.search(queries, k=3, exclude=seen).items, first[:, 1:])


def test_similar_items_are_those_of_the_decoded_vectors(
    small: recae.apply.compress.CompressedEmbeddings,
) -> None:
    decoded = small.vectors().astype(np.float64)
    decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
    cosines = decoded @ decoded.T
    np.fill_diagonal(cosines, -2)
    top = small.index().similar([5, 300], k=6)
    best = np.argsort(-cosines[[5, 300]], axis=1)[:, :6]
    np.testing.assert_array_equal(top.items, best)
    np.testing.assert_allclose(
        top.scores, np.take_along_axis(cosines[[5, 300]], best, 1), atol=1e-4
    )


def test_biases_come_back_to_half_precision(
    small: recae.apply.compress.CompressedEmbeddings,
) -> None:
    np.testing.assert_allclose(small.biases(), np.linspace(-3, 7, 600), atol=7 * 2**-11)


def test_more_bytes_are_never_much_worse_and_many_are_nearly_lossless(vectors: np.ndarray) -> None:
    errors = []
    for size in (8, 16, 32, 64):
        small = recae.apply.compress.compress_embeddings(vectors, size, units=64, **QUICK)
        assert small.bytes_per_item <= size
        errors.append(lost(vectors, small.vectors()))
    assert all(more < 1.05 * less for less, more in zip(errors, errors[1:], strict=False))
    assert errors[0] < 0.6 and errors[-1] < 1e-3


def test_refining_helps_and_the_same_seed_gives_the_same_bytes(vectors: np.ndarray) -> None:
    own, once, twice = (
        recae.apply.compress.compress_embeddings(
            vectors, 12, units=64, epochs=3, rounds=rounds, seed=4
        )
        for rounds in (0, 3, 3)
    )
    assert lost(vectors, once.vectors()) < 0.7 * lost(vectors, own.vectors())
    np.testing.assert_array_equal(once.records, twice.records)
    state = torch.random.get_rng_state()
    recae.apply.compress.compress_embeddings(vectors, 12, units=64, epochs=1, rounds=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_beats_principal_axes_of_the_same_bytes_on_sparse_sums(vectors: np.ndarray) -> None:
    # Twelve bytes: the mean and 12 of 24 axes kept without any rounding, which favours them.
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:12]
    of_axes = lost(vectors, vectors.mean(axis=0) + centred @ axes.T @ axes)
    small = recae.apply.compress.compress_embeddings(vectors, 12, units=64, epochs=10, rounds=6)
    assert lost(vectors, small.vectors()) < 0.5 * of_axes


def test_a_planted_dictionary_is_found() -> None:
    atoms = np.random.default_rng(99).normal(size=(40, 24))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    rows = planted(3000, seed=2)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unit, start = torch.from_numpy(rows), torch.from_numpy(rows[:60].copy())
    found, codes = refine(unit, torch.ones(3000), start, 3, 6, rounds=25, seed=0, progress=False)
    near = np.abs(atoms @ found.numpy().T).max(axis=1)
    assert (near > 0.98).mean() >= 0.9
    assert float(codes.errors(unit, found).mean()) < 0.05


def test_the_errors_that_count_are_those_that_users_see() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(400, 20)).astype(np.float32)
    users = (rng.normal(size=(500, 20)) * np.r_[np.ones(4), np.full(16, 0.05)]).astype(np.float32)
    seen = recae.apply.compress.compress_embeddings(vectors, 10, users=users, **QUICK).vectors()
    plain = recae.apply.compress.compress_embeddings(vectors, 10, **QUICK).vectors()
    scores, centred = users @ vectors.T, vectors.mean(axis=0)
    scores = scores - (users @ centred)[:, None]
    of_seen, of_plain = (lost(scores, users @ (v - centred).T) for v in (seen, plain))
    assert of_seen < 0.3 * of_plain
    assert lost(vectors, plain) < lost(vectors, seen)


def test_pursuit_is_least_squares_on_its_support() -> None:
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(5, 12)).astype(np.float32))
    atoms = torch.nn.functional.normalize(
        torch.from_numpy(rng.normal(size=(30, 12)).astype(np.float32)), dim=1
    )
    support, values = pursue(rows, atoms, 4)
    for row, units, z in zip(rows, support, values, strict=True):
        expected = np.linalg.lstsq(atoms[units].numpy().T, row.numpy(), rcond=None)[0]
        np.testing.assert_allclose(z.numpy(), expected, atol=1e-3)
        assert len(set(units.tolist())) == 4
    rounded = quantise(rows, atoms, support, values, 8)
    exact = (rows - torch.einsum("nk,nkd->nd", values, atoms[support])).square().sum(1)
    assert bool((rounded.errors(rows, atoms) < exact + 0.05).all())


def test_a_table_of_values_is_that_of_lloyd() -> None:
    values = torch.tensor([0.0, 0.2, 5.0, 5.4, 9.0])
    np.testing.assert_allclose(table(values, 2)[[0, -1]].numpy(), [0.1, 9.0], atol=1e-6)
    levels = torch.tensor([-1.0, 0.0, 2.0])
    assert nearest(torch.tensor([-0.6, -0.4, 0.9, 1.1, 50]), levels).tolist() == [0, 1, 1, 2, 2]


def test_items_without_a_vector_stay_without_one(vectors: np.ndarray) -> None:
    some = vectors[:200] - vectors[:200].mean(axis=0)
    some[::2] *= -1
    some[5] = some.mean(axis=0) * 0
    small = recae.apply.compress.compress_embeddings(some, 16, **QUICK)
    assert np.linalg.norm(small.vectors()[5]) < 0.1 * np.linalg.norm(some, axis=1).mean()
    equal = recae.apply.compress.compress_embeddings(np.ones((20, 3)), 16, **QUICK)
    np.testing.assert_allclose(equal.vectors(), 1, atol=1e-6)


def test_a_trained_recommender_keeps_its_lists() -> None:
    rng = np.random.default_rng(0)
    taste = rng.integers(0, 4, 200)
    likes = rng.random((200, 80)) < np.where(taste[:, None] == np.arange(80) % 4, 0.4, 0.03)
    data = recae.Interactions.from_csr(sp.csr_matrix(likes.astype(np.float32)))
    model = recae.PureSVD(latent=16).fit(data)
    queries = model.embed_users(data)
    small = recae.apply.compress.compress_embeddings(
        model.item_embeddings_, 16, users=queries, **QUICK
    )
    exact = np.argsort(-(queries @ model.item_embeddings_.T), axis=1)[:, :10]
    top = small.index().search(queries, k=10).items
    kept = np.mean([len({*a} & {*b}) for a, b in zip(exact, top, strict=True)]) / 10
    assert kept > 0.8


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"vectors": np.full((40, 6), np.nan)}, DataError, "infinite .*40 rows.* row 0"),
        ({"vectors": np.ones((40, 6)) * 1e300}, DataError, "infinite"),
        ({"vectors": np.ones(40)}, DataError, r"numbers .*\(40,\)"),
        ({"vectors": np.array([["a"] * 6] * 40)}, DataError, r"numbers .*\(40, 6\)"),
        ({"vectors": np.ones((7, 6))}, DataError, "16 items"),
        ({"bytes_per_item": 2}, ConfigError, "bytes_per_item=2 .* 3 or more"),
        ({"bytes_per_item": 12.5}, ConfigError, "bytes_per_item"),
        ({"users": np.ones((4, 5))}, DataError, "users .*5 columns; .*6"),
        ({"users": np.zeros((4, 6))}, DataError, "all zero"),
        ({"biases": np.ones(39)}, DataError, "39 biases for 40 vectors"),
        ({"biases": [np.nan] * 40}, DataError, "biases .*NaN"),
        ({"units": 41}, ConfigError, "units=41 .*40 items"),
        ({"units": True}, ConfigError, "units"),
        ({"epochs": 0}, ConfigError, "epochs"),
        ({"rounds": -1}, ConfigError, "rounds"),
        ({"lr": 0}, ConfigError, "^lr .*> 0"),
        ({"seed": None}, ConfigError, "seed"),
        ({"progress": "yes"}, ConfigError, "progress"),
    ],
)
def test_mistakes_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"vectors": np.random.default_rng(0).normal(size=(40, 6)), "bytes_per_item": 12}
    with pytest.raises(error, match=message):
        recae.apply.compress.compress_embeddings(**given | change)


def test_questions_that_do_not_fit_are_refused(
    small: recae.apply.compress.CompressedEmbeddings,
) -> None:
    index, query = small.index(), np.ones((1, 24), dtype=np.float32)
    with pytest.raises(DataError, match="queries .*23 columns; .*24"):
        index.scores(query[:, 1:])
    with pytest.raises(DataError, match=r"queries .*\(24,\)"):
        index.scores(query[0])
    with pytest.raises(DataError, match="NaN"):
        index.search(query * np.nan)
    with pytest.raises(ConfigError, match="^k .*>= 1"):
        index.search(query, k=0)
    with pytest.raises(DataError, match="exclude .*sparse matrix"):
        index.search(query, exclude=sp.eye(3))
    with pytest.raises(DataError, match="no item 600"):
        index.similar([1, 600])
    with pytest.raises(DataError, match="items .*integers"):
        index.similar([0.5])
    assert index.search(query[:0], k=2).items.shape == (0, 2)
    assert index.n_bytes > small.n_bytes and index.n_items == 600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_search(small: recae.apply.compress.CompressedEmbeddings) -> None:
    query = np.ones((1, 24), dtype=np.float32)
    expected = small.index().search(query, k=3).items
    child = os.fork()
    if not child:
        same = np.array_equal(small.index().search(query, k=3).items, expected)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_dictionary_takes_bytes_unless_that_would_show(vectors: np.ndarray) -> None:
    for size, kind in ((12, np.int8), (200, np.float16)):
        small = recae.apply.compress.compress_embeddings(vectors, size, units=64, **QUICK)
        assert small.shared.dictionary.dtype == kind
        assert lost(vectors, small.vectors()) < (0.3 if size == 12 else 5e-4)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_unit_of_the_vectors_does_not_matter(vectors: np.ndarray, unit: float) -> None:
    small = recae.apply.compress.compress_embeddings(
        vectors * np.float32(unit), 16, units=64, **QUICK
    )
    plain = recae.apply.compress.compress_embeddings(vectors, 16, units=64, **QUICK)
    error = lost(vectors, small.vectors().astype(np.float64) / unit)
    assert error == pytest.approx(lost(vectors, plain.vectors()), rel=0.2)
