"""Exact top-k of a block of scores, with exclusions, a whitelist and a stated order of ties.

The higher score comes first; equal scores come in the order of their columns, the lower first. So
a row's list depends on that row's scores alone, not on the batch, the device or the version of
torch, whose `topk` promises no order among equals.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import ConfigError, DataError
from recae.ranking.selection import Leaders

MOST_EMPTY = 10_000
"""A list may be longer than the catalogue by so many places; more can only be a mistake."""

CELLS = 1 << 22
"""Scores looked at together: 16 MiB, which stay in the cache of most processors."""


@dataclass(frozen=True, eq=False)
class TopK:
    """The best k items of each row, best first.

    items: (rows, k) integers, int32 from `top_k`; columns of the scores, -1 where none is left.
    scores: (rows, k) float32, -inf where none is left.
    Raises DataError unless both are tables of the same shape and the items are integers.

    >>> scores = np.array([[0.5, -np.inf]], dtype=np.float32)
    >>> len(recae.ranking.TopK(np.array([[2, -1]]), scores))  # one row, with one item
    1
    """

    items: npt.NDArray[np.integer[Any]]
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise DataError(
                "items and scores of a TopK must both be (rows, k); "
                f"found {self.items.shape} and {self.scores.shape}"
            )
        if not np.issubdtype(self.items.dtype, np.integer):
            raise DataError(f"items of a TopK must be integer columns, not {self.items.dtype}")

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.items)

    @staticmethod
    def concatenate(parts: Sequence[TopK]) -> TopK:
        """The rows of all parts, one after the other: (rows of all, k).

        Raises DataError for no parts and for parts of unequal k.

        >>> top = recae.Popularity().fit(data).recommend_array(data, k=2)
        >>> recae.ranking.TopK.concatenate([top, top]).items.shape
        (10, 2)
        """
        widths = sorted({part.items.shape[1] for part in parts})
        if len(widths) != 1:
            found = f"k = {widths}" if widths else "none"
            raise DataError(f"concatenate needs one or more TopK of the same k; found {found}")
        items = np.concatenate([part.items for part in parts])
        return TopK(items, np.concatenate([part.scores for part in parts]))


def top_k(
    scores: Tensor,
    k: int,
    *,
    exclude: Any | None = None,
    allowed: Any | None = None,
    overwrite: bool = False,
) -> TopK:
    """The k highest scores of each row, exactly; ties go to the lower column.

    scores: (rows, n_items) float32 on any device, higher is better; -inf is the same as excluded,
        and -0.0 ties with 0.0.
    k: how many, >= 1. Rows with fewer items left end in item -1 with score -inf; so does every row
        where k > n_items, which may be by MOST_EMPTY places at most.
    exclude: cells that must not come back: a pair (rows, columns) of equally long integer tensors
        or arrays, or a scipy sparse matrix (rows, n_items) whose non-zero cells are meant.
    allowed: (n_items,) bool tensor or array; columns that are False never come back.
    overwrite: allow the exclusions to be written into `scores`, which saves a copy of it.

    Time is little more than a pass over the scores (see `recae.selection`), and the copy. Raises
    ConfigError for a bad k, and DataError for scores of the wrong type or shape, for NaN or +inf in
    a cell that is not excluded, and for exclusions that do not fit the scores.
    """
    k = check_length(k, scores.shape[-1])
    if scores.ndim != 2 or scores.dtype != torch.float32:
        raise DataError(
            "scores must be a (rows, n_items) float32 tensor; "
            f"found {tuple(scores.shape)} {scores.dtype}"
        )
    # Inference mode lets us write into scores made under it, and keeps the graph out of our way.
    with torch.inference_mode():
        return best(_mask(scores, exclude, allowed, overwrite), k)


def best(scores: Tensor, k: int) -> TopK:
    """As `top_k`, of scores that are masked already and a k that is checked."""
    step = max(CELLS // max(scores.shape[1], 1), 1)
    parts = []
    for start in range(0, max(len(scores), 1), step):
        some = scores[start : start + step]
        leaders = Leaders(len(some), k, scores.device, first_row=start)
        leaders.add(some)
        parts.append(TopK(*leaders.lists()))
    return TopK.concatenate(parts)


def check_k(k: object) -> int:
    """The length of a list as an int >= 1. Raises ConfigError for anything else."""
    try:
        value = operator.index(k)  # type: ignore[arg-type]
    except TypeError:
        value = 0
    if value < 1 or isinstance(k, bool):
        raise ConfigError(f"k must be an integer >= 1, not {k!r}")
    return value


def check_length(k: object, n_items: int) -> int:
    """As `check_k`, and no more than MOST_EMPTY places beyond the catalogue."""
    value = check_k(k)
    if value > n_items + MOST_EMPTY:
        raise ConfigError(f"k={value:,} is far more than the {n_items:,} items there are")
    return value


def _mask(scores: Tensor, exclude: Any | None, allowed: Any | None, overwrite: bool) -> Tensor:
    """The scores with -inf in every cell that is excluded or not allowed."""
    if exclude is None and allowed is None:
        return scores
    keep = None if allowed is None else _allowed_columns(allowed, scores)
    cells = None if exclude is None else _excluded_cells(exclude, scores)
    # Writing into an expanded tensor, one row shown many times, would exclude for every row.
    if not overwrite or 0 in scores.stride():
        scores = scores.clone(memory_format=torch.contiguous_format)
    if keep is not None:
        scores.masked_fill_(~keep, -torch.inf)
    if cells is not None:
        scores.index_put_(cells, scores.new_tensor(-torch.inf))
    return scores


def _as_tensor(values: Any) -> Tensor:
    # A copy, because torch warns when it is to share a read-only array.
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))


def _allowed_columns(allowed: Any, scores: Tensor) -> Tensor:
    keep = _as_tensor(allowed)
    if keep.dtype != torch.bool or keep.shape != scores.shape[1:]:
        raise DataError(
            f"allowed must be ({scores.shape[1]},) bool, one entry per column of the scores; "
            f"found {tuple(keep.shape)} {keep.dtype}"
        )
    return keep.to(scores.device)


def _excluded_cells(exclude: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every excluded cell, int64 on the device of the scores."""
    pair: Any = exclude
    if sp.issparse(exclude):
        matrix: Any = exclude
        if tuple(matrix.shape) != tuple(scores.shape):
            raise DataError(
                f"exclude is {tuple(matrix.shape)} but the scores are {tuple(scores.shape)}; "
                "give it the same rows and columns"
            )
        pair = matrix.nonzero()
    if len(pair) != 2:
        raise DataError("exclude must be a pair (rows, columns) or a scipy sparse matrix")
    rows, columns = (_as_tensor(part) for part in pair)
    if rows.ndim != 1 or rows.shape != columns.shape:
        raise DataError(
            "exclude must be two equally long vectors (rows, columns); "
            f"found {tuple(rows.shape)} and {tuple(columns.shape)}"
        )
    return (
        _checked_index(rows, scores.shape[0], "row").to(scores.device),
        _checked_index(columns, scores.shape[1], "column").to(scores.device),
    )


def _checked_index(index: Tensor, size: int, kind: str) -> Tensor:
    if len(index) == 0:  # an empty list arrives as float64
        return index.long()
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise DataError(f"exclude must hold integer {kind}s, not {index.dtype}")
    index = index.long()
    bad = (index < 0) | (index >= size)
    if bool(bad.any()):
        raise DataError(
            f"exclude holds {int(bad.sum())} {kind}s outside 0..{size - 1}, "
            f"the first is {int(index[bad][0])}"
        )
    return index
