"""Whom a report of synthetic users is about: all in the items of the real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.apply.generate.usefulness import by_popularity, resampled
from recae.data import Interactions, as_interactions
from recae.data.splits.folds import Fold
from recae.errors import DataError
from recae.rng import Stream, numpy_generator

FEWEST = 20
"""Held-out users needed."""


@dataclass(frozen=True)
class People:
    """CSR of ones over the items of `real`. contenders: what is measured, by name; held_out: None
    without any; members: some rows of the real data."""

    real: Interactions
    contenders: dict[str, Any]
    held_out: Any | None
    members: Any
    sample: int
    seed: int

    @classmethod
    def of(cls, real: Any, synthetic: Any, holdout: Any, sample: int, seed: int) -> People:
        real = _active(as_interactions(real).binarised(), "real")
        made = _placed(synthetic, real, "synthetic")
        held_out = None
        if holdout is not None:
            whole = _whole(holdout) if isinstance(holdout, Fold) else holdout
            held_out = _placed(whole, real, "held-out").matrix
            if held_out.shape[0] < FEWEST:
                raise DataError(
                    f"only {held_out.shape[0]} users are held out: {FEWEST} or more are needed"
                )
        n = made.n_users
        contenders = {
            "synthetic": made.matrix,
            "popularity": by_popularity(real.matrix, n, seed),
            "resampled": resampled(real.matrix, n, seed),
        }
        members = some_rows(real.matrix, sample, seed, Stream.REPORT_MEMBERS)
        return cls(real, contenders, held_out, members, sample, seed)

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {
            "real": self.real.n_users,
            "synthetic": self.contenders["synthetic"].shape[0],
            "held-out": 0 if self.held_out is None else self.held_out.shape[0],
        }


def in_items_of(matrix: Any, real: Interactions) -> Interactions:
    """Rows as users 0, 1, ... over the items of the real data."""
    return Interactions.from_csr(matrix, items=real.items)


def _whole(holdout: Fold) -> Interactions:
    history, target = holdout.history, holdout.target
    whole = sp.csr_matrix(history.matrix.maximum(target.matrix))
    return Interactions.from_csr(whole, users=history.users, items=history.items)


def _placed(given: Any, real: Interactions, what: str) -> Interactions:
    """Users in the items of the real data; held-out ones must be other users by their ids, which
    the rows of a bare matrix don't have."""
    data = as_interactions(given, real.items)
    if what == "held-out" and data.users.kind == real.users.kind and not sp.issparse(given):
        again = real.users.lookup(data.users.ids) >= 0
        if again.any():
            raise DataError(
                f"{int(again.sum()):,} of the {data.n_users:,} held-out users are among the real "
                f"ones by their id, the first {data.users.ids[again.argmax()]!r}: hold users out "
                "before the generator is fitted"
            )
    placed, left_out = data.binarised().with_items(real.items)
    if left_out and what == "synthetic":
        raise DataError(
            f"{left_out:,} of {data.nnz:,} synthetic interactions are with items that the real "
            "data do not have: give the data that the generator was fitted on"
        )
    return _active(placed, what)


def _active(data: Interactions, what: str) -> Interactions:
    rows = np.flatnonzero(np.diff(data.matrix.indptr))
    if not len(rows):
        raise DataError(f"no {what} user has an item of the real data")
    return data if len(rows) == data.n_users else data.select_users(rows)


def some_rows(matrix: Any, most: int, seed: int, stream: int) -> Any:
    """So many rows at most, drawn without replacement, in their order."""
    if matrix.shape[0] <= most:
        return matrix
    rows = numpy_generator(seed, stream).choice(matrix.shape[0], most, replace=False)
    return matrix[np.sort(rows)]
