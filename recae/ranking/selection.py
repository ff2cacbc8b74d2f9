"""The best cells of each row of a block of scores, the next block after it, and so on.

Most of a row is discarded without a look at it: the k highest maxima of groups of columns are k
different cells, so the lowest of them is a score that the k best reach. Only the groups whose
maximum reaches it are looked at, and only their cells that reach it are sorted.

A cell is one integer of 64 bits, its key: the score turned round in the upper half, the column in
the lower. Ascending keys are descending scores, and ascending columns among equals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recae.errors import DataError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

GROUP = 32
"""Columns of a group, a power of two: two cache lines. Wider groups are fewer, which suits short
lists; narrower ones leave fewer cells to look at, which suits long ones."""

CROWD = 1 << 20
"""Cells that may be sorted at once, some 60 MiB; rows with more (their scores tie) are split."""

NOTHING = (0x7F800000 << 32) | 0xFFFFFFFF
"""The key of an empty place: score -inf, column -1."""

LOWEST = float(np.finfo(np.float32).min)


class Leaders:
    """The best k cells of each of some rows, whose columns come block by block.

    keys: (rows, k) int64, ascending, on the device of the scores; k may be more than there will be
    columns. first_row: the number of the first row in messages.
    """

    def __init__(
        self, rows: int, k: int, device: torch.device | None = None, first_row: int = 0
    ) -> None:
        self.k, self.first_row = k, first_row
        self.keys = torch.full((rows, k), NOTHING, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, scores: Tensor, first: int = 0) -> None:
        """Takes in columns first, first + 1, ...: scores (rows, columns) float32, where -inf never
        comes back. Raises DataError for NaN and +inf."""
        if scores.numel():
            self._add(scores.contiguous(), first, 0)

    def lists(self) -> tuple[IntArray, FloatArray]:
        """Columns and scores, (rows, k) each, best first; -1 and -inf where nothing is left."""
        columns = self.keys.cpu().numpy().astype(np.uint32).view(np.int32)  # the lower halves
        return columns, _values(self.keys).cpu().numpy()

    def _add(self, scores: Tensor, first: int, row: int) -> None:
        """Takes in rows from `row` on, by halves when too many cells are in question."""
        rows = slice(row, row + len(scores))
        grouped = scores.shape[1] >= 2 * GROUP * self.k
        peaks = _peaks(scores) if grouped else scores  # (rows, groups)
        if not bool(peaks.max() < torch.inf):
            raise self._bad_numbers(scores, first)
        least = self._least(peaks, rows)  # (rows, 1)
        found = _in_groups(scores, peaks, least) if grouped else _places(_reaches(scores, least))
        at = torch.div(found, scores.shape[1], rounding_mode="floor")
        counts = torch.bincount(at, minlength=len(scores))
        # The table below is as wide as its fullest row, and one whose scores tie may fill it alone.
        most = max(2 * self.k, CROWD // len(scores))
        if len(scores) > 1 and (len(found) > CROWD or int(counts.max()) > most):
            half = len(scores) // 2
            self._add(scores[:half], first, row)
            self._add(scores[half:], first, row + half)
            return
        columns = found - at * scores.shape[1] + first
        keys = _keys(scores.view(-1)[found], columns)
        merged = torch.cat([self.keys[rows], _table(keys, at, counts)], dim=1)
        self.keys[rows] = _sorted(merged)[:, : self.k]

    def _bad_numbers(self, scores: Tensor, first: int) -> DataError:
        bad = ~(scores < torch.inf)
        row, column = (int(place) for place in bad.nonzero()[0])
        what = "NaN" if bool(scores[row, column].isnan()) else "+inf"
        return DataError(
            f"scores contain {what} in row {self.first_row + row}, column {first + column} (NaN or "
            f"+inf in {int(bad.any(1).sum())} of {len(bad)} rows); every score must be finite or "
            "-inf"
        )

    def _least(self, peaks: Tensor, rows: slice) -> Tensor:
        """What a cell must reach to be among the best k, (rows, 1); more than -inf."""
        least = _values(self.keys[rows, -1:]).clamp_min(LOWEST)  # of the k-th so far
        if peaks.shape[1] < self.k:
            return least
        return torch.maximum(least, _kth_largest(peaks, self.k))


def _peaks(scores: Tensor) -> Tensor:
    """The maximum of each group of columns, (rows, groups); the last group may be a short one."""
    whole = scores.shape[1] // GROUP * GROUP
    peaks: Tensor = scores[:, :whole].view(len(scores), -1, GROUP).amax(2)
    if whole == scores.shape[1]:
        return peaks
    return torch.cat([peaks, scores[:, whole:].amax(1, keepdim=True)], dim=1)


def _in_groups(scores: Tensor, peaks: Tensor, least: Tensor) -> Tensor:
    """Where the scores reach `least`, ascending places in the flat scores, int64; only groups whose
    maximum does are looked at."""
    n, groups = scores.shape[1], peaks.shape[1]
    found = _places(_reaches(peaks, least))
    row = torch.div(found, groups, rounding_mode="floor")
    group = found - row * groups
    # The last group begins early enough to be as wide as the others.
    start = row * n + (group * GROUP).clamp_max(n - GROUP)
    windows = scores.view(-1).as_strided((scores.numel() - GROUP + 1, GROUP), (1, 1))
    reached = _reaches(windows.index_select(0, start), least[row])  # (found, GROUP)
    if n % GROUP:  # what the group before it has too
        reached[_places(group == groups - 1), : GROUP - n % GROUP] = False
    cell = _places(reached)
    return start[cell >> GROUP.bit_length() - 1] + (cell & GROUP - 1)


def _table(keys: Tensor, row: Tensor, counts: Tensor) -> Tensor:
    """Keys in a table with a line for each row, (rows, as many as the longest needs); row: the
    row of each key, ascending; counts: (rows,), how many each has."""
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    table = keys.new_full((len(counts), int(counts.max())), NOTHING)
    table[row, place] = keys
    return table


def _keys(values: Tensor, columns: Tensor) -> Tensor:
    """The keys of cells: values (cells,) float32, columns (cells,) int64."""
    bits = (values + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    return ((~_turn(bits)).long() << 32) | columns


def _values(keys: Tensor) -> Tensor:
    """The scores in keys, of the same shape."""
    return _turn(~(keys >> 32).int()).view(torch.float32)


def _turn(bits: Tensor) -> Tensor:
    """Bits of floats, int32, as integers of the same order, and back."""
    turned: Tensor = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return turned


# numpy is several times faster than torch at these on a CPU.


def _kth_largest(values: Tensor, k: int) -> Tensor:
    """(rows, columns >= k) -> (rows, 1)."""
    if values.device.type != "cpu":
        return values.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    place = values.shape[1] - k
    # A copy: a column of the partition would keep the whole of it.
    return torch.from_numpy(np.partition(values.numpy(), place, axis=1)[:, [place]])


def _reaches(values: Tensor, least: Tensor) -> Tensor:
    """Which values reach that of their row: (rows, columns), (rows, 1) -> (rows, columns) bool."""
    if values.device.type != "cpu":
        return values >= least
    return torch.from_numpy(values.numpy() >= least.numpy())


def _places(mask: Tensor) -> Tensor:
    """The ascending places of the true ones in a flat mask, int64."""
    if mask.device.type != "cpu":
        return mask.view(-1).nonzero().view(-1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _sorted(keys: Tensor) -> Tensor:
    """Each row ascending."""
    if keys.device.type != "cpu":
        return keys.sort(dim=1).values
    return torch.from_numpy(np.sort(keys.numpy(), axis=1))
