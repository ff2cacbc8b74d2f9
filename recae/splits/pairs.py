"""Weak generalisation for validation alone: hidden pairs of every user."""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.data import Interactions, as_interactions
from recae.data.csr import row_numbers
from recae.errors import ConfigError, DataError
from recae.folds import Split
from recae.rng import numpy_generator
from recae.splits.parts import fold_of, is_share


def holdout_pairs(interactions: Interactions | Any, share: float = 0.1, seed: int = 0) -> Split:
    """Weak generalisation: hides a random part of every user's interactions, for validation.

        user       a           b       c
        train      o o o o     o       o
        validation         x     x

    Of a user's n interactions int(share * n) are hidden, but at least 1 where n >= 2, and never
    all; with n = 1 none. `train` keeps all users and items; the validation fold holds the users
    with a target, their training interactions as history. There is no test fold. The draw follows
    the order of the users and items, which is ascending unless their ids were given.

    Raises ConfigError unless share is in (0, 1) and seed an integer >= 0, DataError if no user
    has two interactions.

    >>> recae.holdout_pairs(data, 0.5).train.nnz  # one of two or three is hidden
    6
    """
    interactions = as_interactions(interactions)
    if not is_share(share, 1):
        raise ConfigError(f"share must be in (0, 1), not {share!r}")
    indptr = interactions.matrix.indptr
    n = np.diff(indptr)
    # Rounded before it is cut, so that a share of 0.29 hides 29 of 100 and not 28.
    hide = np.floor(np.round(share * n, 9)).astype(np.int64)
    hide = np.where(n >= 2, np.clip(hide, 1, np.maximum(n - 1, 1)), 0)
    if not hide.any():
        raise DataError("no user has two interactions: there is nothing to hide")
    rows = row_numbers(indptr)
    shuffled = np.lexsort((numpy_generator(seed).random(interactions.nnz), rows))
    rank = np.arange(interactions.nnz) - indptr[rows]
    hidden = np.zeros(interactions.nnz, dtype=bool)
    hidden[shuffled[rank < hide[rows]]] = True
    train, target = interactions.keep(~hidden), interactions.keep(hidden)
    return Split(train, fold_of(train, target, train), None)
