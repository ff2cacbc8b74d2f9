"""A sample has the size asked for, and every item comes into it with the chance that is said."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from recae.rng import numpy_generator
from recae.training import SampledLoader, SparseLoader
from recae.training.batches import inclusion_chances, probability_unseen

N_ITEMS = 30
MATRIX = sp.random(200, N_ITEMS, 0.1, format="csr", random_state=1, dtype=np.float32)
MATRIX = (MATRIX @ sp.diags_array(np.float32(np.arange(N_ITEMS) % 3 > 0))).tocsr()
MATRIX.eliminate_zeros()  # a third of the items has nobody


def loader(samples: int = 8, batch_size: int = 20) -> SampledLoader:
    return SampledLoader(MATRIX, None, batch_size, seed=0, samples=samples)


class Comb:
    """Stands in for a generator: the places where the comb may begin, one after the other."""

    def __init__(self, places: int) -> None:
        self.places = iter((np.arange(places) + 0.5) / places)

    def random(self) -> Any:
        return next(self.places)


@pytest.mark.parametrize("samples", [1, 8, 29])
def test_every_item_is_drawn_with_its_chance(samples: int) -> None:
    dealt, places = loader(samples), 20_000
    comb: Any = Comb(places)
    drawn = np.concatenate([dealt.draw(comb) for _ in range(places)])
    counts = np.bincount(MATRIX.indices, minlength=N_ITEMS)
    expected = inclusion_chances(0.5 * counts / counts.sum() + 0.5 / N_ITEMS, samples)
    assert np.abs(np.bincount(drawn, minlength=N_ITEMS) / places - expected).max() < 2 / places
    assert expected.sum() == pytest.approx(samples)


@pytest.mark.parametrize("samples", [1, 8, 29, 30])
def test_a_draw_has_so_many_different_items(samples: int) -> None:
    dealt = loader(samples)
    for seed in range(50):
        assert len(np.unique(dealt.draw(numpy_generator(seed, 0, 0)))) == samples


def test_chances_are_shares_until_they_are_certain() -> None:
    assert inclusion_chances([0.2, 0.3, 0.5], 1).tolist() == pytest.approx([0.2, 0.3, 0.5])
    # Twice as many would be .4, .6, 1: the last is certain already.
    assert inclusion_chances([0.2, 0.3, 0.5], 2).tolist() == pytest.approx([0.4, 0.6, 1.0])
    # 0.8 x 2 is above 1: one is certain, and the others share the second draw.
    assert inclusion_chances([0.8, 0.15, 0.05], 2).tolist() == pytest.approx([1, 0.75, 0.25])
    assert inclusion_chances([0.8, 0.15, 0.05], 3).tolist() == pytest.approx([1, 1, 1])


RARE = sp.random(60, N_ITEMS, 0.05, format="csr", random_state=1, dtype=np.float32)


@pytest.mark.parametrize(("matrix", "size", "epochs"), [(MATRIX, 10, 200), (RARE, 30, 1500)])
def test_the_chance_counts_the_items_of_the_other_rows_too(
    matrix: sp.csr_matrix, size: int, epochs: int
) -> None:
    """Drawn batches are asked how often an item is in the sample of a row that lacks it; the
    second time, most users are in every batch."""
    dealt = SampledLoader(matrix, None, size, seed=0, samples=3)
    within, asked = np.zeros(N_ITEMS), np.zeros(N_ITEMS)
    for number in range(1, epochs):
        for batch in dealt.epoch(number):
            assert batch.target.sample is not None
            sampled = np.zeros(N_ITEMS)
            sampled[batch.target.sample.items.numpy()] = 1
            lacks = (matrix[batch.rows.numpy()].toarray() == 0).sum(axis=0)
            if len(batch) == size:
                within += lacks * sampled
                asked += lacks
    expected = np.exp(dealt.log_chances(size - 1).numpy())
    assert np.abs(within / asked - expected).max() < 0.03  # some 4,000 batches


def test_the_chance_that_nobody_has_an_item_is_counted() -> None:
    """Of five rows one asks, and three of the four others are in its batch: draws are counted."""
    having = [0, 1, 2, 3, 4]
    expected = []
    for had in having:
        drawn = list(itertools.combinations(range(4), 3))
        expected.append(sum(not set(few) & set(range(had)) for few in drawn) / len(drawn))
    np.testing.assert_allclose(probability_unseen(np.array(having), 5, 3), expected, atol=1e-12)
    assert probability_unseen(np.array([5]), 5, 3).tolist() == [
        0
    ]  # nobody lacks it, and nobody asks
    many = probability_unseen(np.array([7]), 5_000_000, 999)
    assert many[0] == pytest.approx((1 - 999 / 4_999_999) ** 7, rel=1e-6)


def test_batches_are_those_of_the_plain_loader_with_a_sample_beside() -> None:
    plain = SparseLoader(MATRIX, None, 20, seed=0)
    for a, b in zip(loader().epoch(2), plain.epoch(2), strict=True):
        assert (a.target.indices == b.target.indices).all()
        assert (a.rows == b.rows).all()
        assert a.input.sample is None
        found = set(a.target.sample.items.tolist())
        assert found >= set(b.target.indices.tolist())
        assert len(found) <= len(set(b.target.indices.tolist())) + 8


def test_samples_repeat_with_the_seed_and_the_epoch() -> None:
    def items(epoch: int) -> list[list[int]]:
        return [batch.target.sample.items.tolist() for batch in loader().epoch(epoch)]

    assert items(1) == items(1)
    assert items(1) != items(2)
