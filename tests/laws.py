"""Assertions of laws that many tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recae.ranking import TopK

CLOSE = 1e-5
"""Scores of a row differ by at most so much, relative to the largest, between batch sizes."""


def assert_same_scores(found: Any, expected: Any) -> None:
    """Scores of the same rows, (rows, n_items) each, that differ by no more than batches may."""
    found, expected = np.atleast_2d(found), np.atleast_2d(expected)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(expected))
    finite = np.where(np.isneginf(expected), 0, expected)
    largest = np.abs(finite).max(axis=1, keepdims=True, initial=0)
    assert (np.abs(np.where(np.isneginf(found), 0, found) - finite) <= CLOSE * largest).all()


def assert_same_lists(found: TopK, expected: TopK) -> None:
    """Lists of the same rows, whose items differ only where their scores are that close."""
    assert_same_scores(found.scores, expected.scores)
    np.testing.assert_array_equal(found.items < 0, expected.items < 0)
    for items, others, scores in zip(found.items, expected.items, expected.scores, strict=True):
        largest = np.abs(scores[np.isfinite(scores)]).max(initial=0)
        score = dict(zip(others.tolist(), scores.tolist(), strict=True))
        last = scores[others >= 0][-1] if (others >= 0).any() else 0
        for place in np.flatnonzero(items != others):
            # An item that is not in the other list tied with the last one there.
            other = score.get(int(items[place]), last)
            assert abs(other - scores[place]) <= 2 * CLOSE * largest


def assert_same_frames(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Frames of lists, whose items differ only where their scores are that close."""
    assert list(found.columns) == list(expected.columns) and len(found) == len(expected)
    assert found.dtypes.equals(expected.dtypes) and found.index.equals(expected.index)
    first, second = found.columns[:2]  # the user, or the item of `similar_items`; the item listed
    for column in (first, "rank"):
        pd.testing.assert_series_equal(found[column], expected[column])
    if not len(found):
        return
    close = 2 * CLOSE * expected["score"].abs().groupby(expected[first]).transform("max")
    assert ((found["score"] - expected["score"]).abs() <= close).all()
    score = dict(zip(zip(expected[first], expected[second]), expected["score"]))  # noqa: B905
    last = expected.groupby(first)["score"].min()
    for place in np.flatnonzero(found[second] != expected[second]):
        key = found[first][place], found[second][place]
        assert abs(score.get(key, last[key[0]]) - found["score"][place]) <= close[place]
