"""From numbers per interaction to evidence against a user, in units of genuine users' spread."""

from __future__ import annotations

import numpy as np

from recae.apply.anomaly.reconstruction import user_means
from recae.data.csr import row_numbers

SPARE = 5
"""Ratings of the average error that every profile is taken to have beside its own."""
FLOOR = 0.7
"""The least spread that log(1 + c_u / median) is taken to have among genuine users."""
NOTHING = 0.01
"""The least median, in parts of 1 / users, that c_u is compared with."""


def deviations(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """How many spreads each user's mean lies above the median user's, (n_users,).

    The spread of a mean of n numbers is sqrt(t^2 + v / n): v from the numbers within users, t^2
    from the users below the median, among whom fakes, who lie above it, are few.
    """
    means, sizes = user_means(values, indptr), np.diff(indptr)
    rows = row_numbers(indptr)
    within = ((values - means[rows]) ** 2).sum() / max((sizes - 1).clip(0).sum(), 1)
    return _in_spreads(means, within / np.maximum(sizes, 1), sizes > 0)


def log_deviations(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """The same of the logarithm of each user's mean of numbers > 0, whose upper tail is long.

    Five numbers of the overall mean are added to each user's.
    """
    sizes, rows = np.diff(indptr), row_numbers(indptr)
    means = (user_means(values, indptr) * sizes + SPARE * values.mean()) / (sizes + SPARE)
    means = np.maximum(means, 1e-12)
    squares = (values - user_means(values, indptr)[rows]) ** 2
    within = squares.sum() / max((sizes - 1).clip(0).sum(), 1) / np.median(means) ** 2
    return _in_spreads(np.log(means), within * sizes / (sizes + SPARE) ** 2, sizes > 0)


def company_deviations(chances: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The same of log(1 + c_u / (median c)), whose spread is taken to be at least 0.7."""
    there = sizes > 0
    usual = max(float(np.median(chances[there])), NOTHING / int(there.sum()))
    lift = np.log1p(chances / usual)
    return _in_spreads(lift, np.zeros(len(lift)), there, FLOOR)


def _in_spreads(
    values: np.ndarray, noise: np.ndarray, there: np.ndarray, floor: float = 0.0
) -> np.ndarray:
    """(value - median) / sqrt(t^2 + noise), by the rows that are there; 0 for the others."""
    middle = np.median(values[there])
    below = there & (values <= middle)
    squares = (values[below] - middle) ** 2
    between = max(squares.mean() - noise[below].mean(), 0.05 * squares.mean(), floor**2, 1e-18)
    return np.where(there, (values - middle) / np.sqrt(between + noise), 0.0)
