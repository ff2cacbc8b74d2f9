"""Counts against scipy and loops over users."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import ks_2samp, spearmanr

from recae.apply.generate.measures import (
    EXPECTED,
    Pairs,
    compare_items,
    compare_lengths,
    item_shares,
)


def two(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chances = rng.random(9)
    return (rng.random((70, 9)) < chances).astype(np.float32), (
        rng.random((50, 9)) < chances[::-1]
    ).astype(np.float32)


def test_items() -> None:
    one, other = two()
    shares = [item_shares(sp.csr_matrix(rows)) for rows in (one, other)]
    np.testing.assert_allclose(shares[0], one.sum(0) / one.sum())
    found = compare_items(*shares)
    assert found["item_distance"] == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum())
    assert found["item_rank_correlation"] == pytest.approx(spearmanr(*shares).statistic)


def test_items_of_one_share_have_no_ranks() -> None:
    flat = np.full(4, 0.25)
    assert np.isnan(compare_items(flat, np.arange(4) / 6)["item_rank_correlation"])


def test_lengths() -> None:
    one, other = two()
    found = compare_lengths(sp.csr_matrix(one), sp.csr_matrix(other))
    expected = ks_2samp(one.sum(1), other.sum(1)).statistic
    assert found["length_distance"] == pytest.approx(expected)
    assert found["mean_length"] == pytest.approx(other.sum(1).mean())


def test_pairs() -> None:
    one, other = two()
    pairs = Pairs(sp.csr_matrix(one))
    lifts: list[list[float]] = [[], []]
    for i in range(9):
        for j in range(i + 1, 9):
            if one[:, i].sum() * one[:, j].sum() / 70 >= EXPECTED:
                for lift, rows in zip(lifts, (one, other), strict=True):
                    both = (rows[:, i] * rows[:, j]).sum() + 0.5
                    alone = (rows[:, i].sum() + 0.5) * (rows[:, j].sum() + 0.5)
                    lift.append(float(np.log(both * len(rows) / alone)))
    assert len(pairs) == len(lifts[0]) > 5
    found = pairs.compare(sp.csr_matrix(other))
    assert found["pair_correlation"] == pytest.approx(np.corrcoef(*lifts)[0, 1], abs=1e-6)
    assert found["pair_slope"] == pytest.approx(np.polyfit(*lifts, 1)[0], abs=1e-6)
    same = pairs.compare(sp.csr_matrix(one))
    assert same == {"pair_correlation": pytest.approx(1), "pair_slope": pytest.approx(1)}


def test_only_the_most_popular_items_are_paired() -> None:
    one, _ = two()
    expected = np.sort(np.argsort(-one.sum(0), kind="stable")[:4])
    np.testing.assert_array_equal(Pairs(sp.csr_matrix(one), most=4).items, expected)


def test_too_few_pairs_say_nothing() -> None:
    few = sp.csr_matrix(np.eye(3, dtype=np.float32))
    assert np.isnan(Pairs(few).compare(few)["pair_correlation"])
