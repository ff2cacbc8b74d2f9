"""Top-k of scores. Ties: the higher score comes first, equal scores in the order of their columns.

So a row's list depends on the scores of that row alone, not on the batch, the device or the version
of torch, whose `topk` promises no order among equals. The keys of the cells decide it (`keys.py`).

Most of a row is discarded without a look at it: the k highest maxima of groups of columns are k
different cells, so the lowest of them is a score that the k best reach. Only the groups whose
maximum reaches it are looked at, and only their cells that reach it are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import ConfigError, DataError, check_integer
from recae.ranking.keys import NOTHING, cells_at_once, keys_of, keys_on_gpu, values_of
from recae.system.threads import in_threads

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

MOST_EMPTY = 10_000
"""A list may be longer than the catalogue by so many places; more can only be a mistake."""

CELLS = 1 << 22
"""Scores looked at together: 16 MiB, which stay in the cache of most processors."""

GROUP = 8
"""Columns of a group, at most: fewer leave fewer cells to look at, more leave fewer groups."""

SMALL = 1 << 15
"""Scores up to which groups take longer than they save."""

CROWD = 1 << 20
"""Cells that may be sorted at once, some 60 MiB; rows with more (their scores tie) are split."""

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, eq=False)
class TopK:
    """The best k items of each row, best first.

    items: (rows, k) integers, int32 from `top_k`; columns of the scores, -1 where none is left.
    scores: (rows, k) float32, -inf where none is left.
    users: (rows,) ids, whose row is whose; None where rows have no ids.
    skipped: (n,) ids of users who were asked for and have no row, as with on_unknown="skip".
    notes: what `recae.Rules` did, a dict of counts for each rule.
    Raises DataError unless items are integers in the shape of scores, with a user for each row.

    >>> scores = np.array([[0.5, -np.inf]], dtype=np.float32)
    >>> len(recae.ranking.TopK(np.array([[2, -1]]), scores))  # one row, with one item
    1
    """

    items: npt.NDArray[np.integer[Any]]
    scores: npt.NDArray[np.float32]
    users: npt.NDArray[Any] | None = None
    skipped: npt.NDArray[Any] | None = None
    notes: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.users is not None and len(self.users) != len(self.items):
            raise DataError(
                f"users of a TopK must name each of the {len(self.items)} rows; found "
                f"{len(self.users)}",
                parameter="users",
            )
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
        """The rows of all parts, one after the other: (rows of all, k); `users` if all have them.

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
        scores = np.concatenate([part.scores for part in parts])
        users = [part.users for part in parts if part.users is not None]
        if len(users) < len(parts):
            return TopK(items, scores)
        skipped = [part.skipped for part in parts if part.skipped is not None]
        return TopK(
            items, scores, np.concatenate(users), np.concatenate(skipped) if skipped else None
        )


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

    Time is little more than a pass over the scores, and the copy. Raises ConfigError for a bad k,
    and DataError for scores of the wrong type or shape, for NaN or +inf in
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
        scores = _mask(scores, exclude, allowed, overwrite)
        step = max(cells_at_once(scores.device, CELLS) // max(scores.shape[1], 1), 1)
        parts = [slice(a, a + step) for a in range(0, max(len(scores), 1), step)]

        def best(rows: slice) -> TopK:
            found = RunningTopK(len(scores[rows]), k, scores.device, first_row=rows.start)
            found.add(scores[rows])
            return found.lists()

        on_cpu = scores.device.type == "cpu"
        return TopK.concatenate(in_threads(best, parts) if on_cpu else list(map(best, parts)))


def check_length(k: object, n_items: int) -> int:
    """The length of a list as an int >= 1, and no more than MOST_EMPTY places beyond the catalogue.

    Raises ConfigError for anything else.
    """
    value = check_integer("k", k)
    if value > n_items + MOST_EMPTY:
        raise ConfigError(
            f"k={value:,} is far more than the {n_items:,} items there are", parameter="k", value=k
        )
    return value


class RunningTopK:
    """The best k cells of each of some rows, whose columns come block by block.

    k may be more than there will be columns. first_row: the number of the first row in messages.
    """

    def __init__(
        self, rows: int, k: int, device: torch.device | None = None, first_row: int = 0
    ) -> None:
        self.k, self.first_row, self.empty = k, first_row, True
        self.keys = torch.full((rows, k), NOTHING, dtype=torch.int64, device=device)  # ascending

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, scores: Tensor, first: int = 0) -> None:
        """Takes in columns first, first + 1, ...: scores (rows, columns) float32, where -inf never
        comes back. Raises DataError for NaN and +inf."""
        if scores.numel():
            with torch.inference_mode():
                if scores.device.type == "cpu":
                    self._add(scores.detach().contiguous().numpy(), first, 0)
                else:
                    self._add_on_device(scores, first)
            self.empty = False

    def lists(self) -> TopK:
        """The best so far: column -1 and score -inf where nothing is left."""
        keys = self.keys.cpu().numpy()
        columns = keys.astype(np.uint32).view(np.int32)  # the lower halves
        return TopK(columns, values_of(keys))

    def _add(self, scores: FloatArray, first: int, row: int) -> None:
        """Takes in rows from `row` on, by halves when too many cells are in question."""
        rows = slice(row, row + len(scores))
        levels = [scores]  # the scores, the maxima of groups of them, the maxima of groups of those
        if scores.size > SMALL:
            while (size := self._group_size(levels[-1].shape[1])) > 1:
                levels.append(_peaks(levels[-1], size))
        if not levels[-1].max() < np.inf:
            raise self._bad_numbers(torch.from_numpy(scores), first)
        keys = self.keys.numpy()
        least = np.maximum(values_of(keys[rows, -1:]), LOWEST)  # of the k-th so far, (rows, 1)
        if levels[-1].shape[1] >= self.k:
            least = np.maximum(least, _kth_largest(levels[-1], self.k))
        at, columns, values = _reaching(scores, levels[min(1, len(levels) - 1)], least)
        counts = np.bincount(at, minlength=len(scores))
        # The table below is as wide as its fullest row, and one whose scores tie may fill it alone.
        most = max(2 * self.k, CROWD // len(scores))
        if len(scores) > 1 and (len(at) > CROWD or counts.max() > most):
            half = len(scores) // 2
            self._add(scores[:half], first, row)
            self._add(scores[half:], first, row + half)
            return
        places = np.arange(len(at)) - (np.cumsum(counts) - counts)[at]
        table = np.full((len(scores), max(counts.max(), self.k)), NOTHING)
        table[at, places] = keys_of(values, columns + first)
        if not self.empty:
            table = np.concatenate([keys[rows], table], axis=1)
        table.sort(axis=1)
        keys[rows] = table[:, : self.k]

    def _add_on_device(self, scores: Tensor, first: int) -> None:
        if not bool(scores.max() < torch.inf):
            raise self._bad_numbers(scores, first)
        keys = keys_on_gpu(scores, first)
        if not self.empty or self.k > keys.shape[1]:
            keys = torch.cat([self.keys, keys], dim=1)
        self.keys = keys.topk(self.k, dim=1, largest=False).values

    def _group_size(self, width: int) -> int:
        """Columns of a group: so many that four times as many groups as places of a list remain."""
        return min(GROUP, width // (4 * max(self.k, GROUP)))

    def _bad_numbers(self, scores: Tensor, first: int) -> DataError:
        return bad_numbers(scores, self.first_row, first)


def bad_numbers(scores: Tensor, first_row: int = 0, first: int = 0) -> DataError:
    """The error for NaN or +inf in scores (rows, columns) that begin at this row and column."""
    bad = ~(scores < torch.inf)
    row, column = (int(place) for place in bad.nonzero()[0])
    what = "NaN" if bool(scores[row, column].isnan()) else "+inf"
    return DataError(
        f"scores contain {what} in row {first_row + row}, column {first + column} (NaN or "
        f"+inf in {int(bad.any(1).sum())} of {len(bad)} rows); every score must be finite or "
        "-inf"
    )


def _starts(width: int, groups: int) -> npt.NDArray[np.int64]:
    """The starts of the slices that divide a row into groups; the last slice ends with the row."""
    return np.minimum(np.arange(0, width, groups), width - groups)


def _peaks(values: FloatArray, size: int) -> FloatArray:
    """The maximum of each group of about `size` columns, (rows, groups). A group is every n-th
    column, with n groups, so that all maxima are taken side by side."""
    rows, width = values.shape
    groups = -(-width // size)
    n = width // groups
    whole = torch.from_numpy(values[:, : n * groups].reshape(rows, n, groups))
    peaks: FloatArray = whole.amax(1).numpy()  # numpy is somewhat slower at this
    left = width - n * groups  # columns of the last slice, which belong to the last groups
    if left:
        np.maximum(peaks[:, -left:], values[:, -left:], out=peaks[:, -left:])
    return peaks


def _reaching(
    values: FloatArray, peaks: FloatArray, least: FloatArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Rows, ascending, columns and values of the cells that reach `least`, (rows, 1).

    peaks: the maxima of groups of columns, see `_peaks`, or the values themselves.
    """
    width, groups = values.shape[1], peaks.shape[1]
    found = np.flatnonzero(peaks >= least)
    row = found // groups
    starts = _starts(width, groups)
    cells = (found + row * (width - groups))[:, None] + starts
    members = values.reshape(-1).take(cells)
    reached = members >= least[row]
    twice = len(starts) * groups - width  # columns in the last slice and the one before it
    if twice:
        reached[:, -1] &= found - row * groups >= twice
    kept = np.flatnonzero(reached)
    row = row[kept // len(starts)]
    return row, cells.reshape(-1)[kept] - row * width, members.reshape(-1)[kept]


def _kth_largest(values: FloatArray, k: int) -> FloatArray:
    """(rows, columns >= k) -> (rows, 1)."""
    place = values.shape[1] - k
    return np.partition(values, place, axis=1)[:, [place]]  # a copy: a view would keep it all


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
        scores.index_put_(cells, scores.new_full((), -torch.inf))
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
    """Places as int64. Raises DataError for floats, booleans and places that are not there."""
    if len(index) == 0:  # an empty list arrives as float64
        return index.long()
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise DataError(f"exclude must hold integer {kind}s, not {index.dtype}")
    index = index.long()
    if bool((bad := (index < 0) | (index >= size)).any()):
        raise DataError(
            f"exclude holds {int(bad.sum())} {kind}s outside 0..{size - 1}, "
            f"the first is {int(index[bad][0])}"
        )
    return index
