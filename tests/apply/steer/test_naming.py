"""Arithmetic of names, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recae.apply.steer.naming import (
    distinct,
    genre_shares,
    highest,
    particular,
    telling,
    together,
    well_known,
)


def test_the_well_known_half() -> None:
    assert well_known(np.array([0, 1, 5, 9, 5])).tolist() == [False, False, True, True, True]
    assert well_known(np.zeros(3)).all()


def test_what_follows_popularity_is_taken_away() -> None:
    counts = np.array([10, 100, 1000, 10, 100, 1000, 1])
    line = 3 + 2 * np.log(counts)  # what only follows popularity
    bump = np.array([0.0, 0, 0, 0, 1, 0, 50])
    found = particular(np.array([line, line + bump], dtype=np.float32), counts)
    # The last item is not among the better-known half: it can name nothing.
    known = counts >= 100
    assert (found[:, ~known] == -np.inf).all()
    assert found[0, known] == pytest.approx(0, abs=1e-4)
    assert highest(found, 1)[1] == [4]
    # The residuals of least squares, by numpy: the bump alone, less its own line.
    x = np.log(counts[known])
    fit = np.polyfit(x, bump[known], 1)
    assert found[1, known] == pytest.approx(bump[known] - np.polyval(fit, x), abs=1e-4)


def test_together_is_a_multiple_of_chance() -> None:
    # Of four users two have both 0 and 1, two have 2 only: 2 x 2 / 4 = 1 by chance, 2 are there.
    matrix = sp.csr_matrix([[1, 1, 0, 5], [3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    assert together(np.array([[0, 1], [0, 2]]), matrix).tolist() == [2, 0]
    # 0 with 1, 0 with 3, 1 with 3: 2 + 1 + 1 there, 1 + 1/2 + 1/2 by chance.
    assert together(np.array([[0, 1, 3]]), matrix).tolist() == [2]
    assert np.isnan(together(np.array([[0]]), matrix)).all()


def test_genres_that_tell() -> None:
    of_items = sp.csr_matrix([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0]])
    shares = genre_shares(np.array([[0, 1], [1, 3]]), of_items)
    assert shares.tolist() == [[1, 0.5, 0], [1, 1, 0]]
    # 0 is everywhere and says nothing; 1 is twice as frequent in the second row; 2 is nowhere.
    assert telling(shares, np.array([1, 0.5, 0])) == [[], [1]]
    # share x log(share / usual): 0.9 log 3 = 0.99 comes before 0.2 log 20 = 0.60; 0.19 is too few.
    assert telling(np.array([[0.2, 0.9, 0.19]]), np.array([0.01, 0.3, 0.001])) == [[1, 0]]


def test_names_are_distinct() -> None:
    assert distinct(["a", "b", "A", "a (2)", "a"]) == ["a", "b", "A (2)", "a (2) (2)", "a (3)"]
