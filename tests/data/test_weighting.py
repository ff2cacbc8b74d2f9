"""Transforms of weights, against `implicit`, against loops, and by arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.nearest_neighbours import bm25_weight

from recae.data.weighting import TRANSFORMS, Weighting

SPARSE = np.random.default_rng(5).integers(0, 60, (40, 12)) * (
    np.random.default_rng(6).random((40, 12)) < 0.3
)
PLAYS = sp.csr_matrix(SPARSE[SPARSE.sum(axis=1) > 0].astype(np.float32))


def apply(name: str, matrix: sp.csr_matrix, train: sp.csr_matrix | None = None) -> np.ndarray:
    return Weighting.learn(name, matrix if train is None else train).apply(matrix).toarray()


def test_bm25_is_that_of_implicit() -> None:
    theirs = bm25_weight(PLAYS.astype(np.float64), K1=100, B=0.8).toarray()
    assert (theirs[PLAYS.toarray() > 0] > 0).all()
    np.testing.assert_allclose(apply("bm25", PLAYS), theirs, rtol=1e-6)


def test_bm25_of_a_new_history_by_arithmetic() -> None:
    train = sp.csr_matrix([[3.0, 0], [3, 0], [0, 2], [0, 2]])
    idf, length = math.log(4 / 3), 2.5
    expected = idf * 10 * 101 / (10 + 100 * (0.2 + 0.8 * 14 / length))
    found = apply("bm25", sp.csr_matrix([[10.0, 4.0]]), train)
    assert found[0, 0] == pytest.approx(expected, rel=1e-6)


def test_an_item_of_everybody_keeps_a_weight() -> None:
    assert (apply("bm25", sp.csr_matrix([[3.0, 1], [1, 0], [2, 0]]))[:, 0] > 0).all()


def test_log1p_is_the_natural_logarithm() -> None:
    found = apply("log1p", PLAYS)
    np.testing.assert_allclose(found, np.log1p(PLAYS.toarray(), dtype=np.float64), rtol=1e-6)


def slow_quantile(row: list[float]) -> list[float]:
    return [sum(other <= own for other in row) / len(row) for own in row]


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=5))
def test_quantile_is_the_share_of_weights_at_most_as_large(rows: list[list[int]]) -> None:
    indptr = np.cumsum([0, *map(len, rows)])
    values = np.concatenate([np.array(row, dtype=np.float32) for row in rows])
    columns = np.concatenate([np.arange(len(row)) for row in rows])
    matrix = sp.csr_matrix((values, columns, indptr), shape=(len(rows), 6))
    found = Weighting("quantile").apply(matrix).data
    expected = [share for row in rows for share in slow_quantile([float(w) for w in row])]
    np.testing.assert_allclose(found, np.array(expected, dtype=np.float32), rtol=1e-6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_row_alone_is_the_row_among_others(name: str) -> None:
    learnt = Weighting.learn(name, PLAYS)
    whole = learnt.apply(PLAYS).toarray()
    for row in range(0, PLAYS.shape[0], 7):
        np.testing.assert_array_equal(learnt.apply(PLAYS[row]).toarray()[0], whole[row])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_weights_stay_above_zero_and_grow_with_what_they_were(name: str) -> None:
    extreme = sp.csr_matrix(np.array([[1e-30, 1, 1e6, 3e38]], dtype=np.float32))
    train = sp.csr_matrix(np.vstack([extreme.toarray(), np.eye(4)]))
    found = apply(name, extreme, train)[0]
    assert (found > 0).all() and np.isfinite(found).all()
    if name != "bm25":  # the frequency of an item counts there too
        assert (np.diff(found) >= 0).all()


def test_none_is_the_matrix_itself() -> None:
    assert Weighting.learn("none", PLAYS).apply(PLAYS) is PLAYS


@pytest.mark.parametrize("name", ["binarise", "quantile"])
def test_equal_weights_become_ones(name: str) -> None:
    assert set(apply(name, 7 * (PLAYS > 0).astype(np.float32)).ravel()) == {0.0, 1.0}
