"""Overlap and rank-biased overlap against the formulas written out for one pair of lists."""

from __future__ import annotations

import numpy as np
import pytest

from recae.recommend.export.overlap import Lists, agreement


def rbo(one: list[int], two: list[int], p: float = 0.9) -> float:
    """Webber, Moffat and Zobel 2010, eq. 32, term by term."""
    shorter, longer = sorted((one, two), key=len)
    s, l = len(shorter), len(longer)  # noqa: E741

    def common(depth: int) -> int:
        return len({*shorter[:depth]} & {*longer[:depth]})

    total = sum(common(d) / d * p**d for d in range(1, l + 1))
    total += sum(common(s) * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * total + ((common(l) - common(s)) / l + common(s) / s) * p**l


def padded(lists: list[list[int]], k: int) -> np.ndarray:
    return np.array([some + [-1] * (k - len(some)) for some in lists], dtype=np.int32)


def test_lists_of_any_lengths_agree_with_the_formulas() -> None:
    rng = np.random.default_rng(0)
    lists = [
        [rng.permutation(12)[: rng.integers(1, 9)].tolist() for _ in range(200)] for _ in range(2)
    ]
    overlap, found = agreement(padded(lists[0], 8), padded(lists[1], 9))
    for row, (one, two) in enumerate(zip(*lists, strict=True)):
        assert overlap[row] == len({*one} & {*two}) / max(len(one), len(two))
        assert found[row] == pytest.approx(rbo(one, two), abs=1e-12)


@pytest.mark.parametrize(
    ("one", "two", "overlap", "expected"),
    [
        ([3, 1, 2], [3, 1, 2], 1, 1),
        ([1, 2], [3, 4], 0, 0),
        ([1, 2], [2, 1], 1, 0.9),  # (1-p)/p * p^2/1 + p^2 = p(1-p) + p^2
        ([1], [1, 2], 0.5, 1.0),  # the shorter list goes on as it began
        ([5], [5], 1, 1),
    ],
)
def test_pairs_computed_by_hand(one, two, overlap, expected) -> None:
    found = agreement(padded([one], len(one)), padded([two], len(two)))
    assert found[0][0] == overlap and found[1][0] == pytest.approx(expected)


def test_no_pairs() -> None:
    nothing = np.empty((0, 0), dtype=np.int32)
    assert [len(found) for found in agreement(nothing, nothing)] == [0, 0]


def test_lists_as_a_square() -> None:
    items = np.array([4, 5, 6, 7, 8, 9], dtype=np.int32)
    lists = Lists(np.array([10, 20, 30]), np.array([0, 3, 4, 6]), items)
    assert lists.square(np.array([0, 1, 2]), 2).tolist() == [[4, 5], [7, -1], [8, 9]]
    assert lists.part(1, 3).square(np.array([1]), 5).tolist() == [[8, 9]]
