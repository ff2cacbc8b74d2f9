"""The parts of scores: what each item of a history adds to the scores of some items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import row_numbers

SUM = "exact: a score is a sum over the items of the history"
LENGTH = "exact, given the length of the history: a score is a mean over its items"
NO_HISTORY = "exact: the scores of this model do not depend on what is in the history"


@dataclass(frozen=True)
class Parts:
    """What the items of some histories add to the scores of some items.

    contributions: (rows, longest, asked) float64, in the order of the entries of each history, 0
    behind the last; baseline: (rows, asked) float64, the score without them; how: the method.
    """

    contributions: Tensor
    baseline: Tensor
    how: str

    @classmethod
    def of(cls, contributions: Tensor, how: str, baseline: Tensor | float = 0.0) -> Parts:
        """Parts with one baseline for all, or with (rows, asked) of them."""
        shape = contributions.shape[0], contributions.shape[2]
        given = torch.as_tensor(baseline, dtype=torch.float64)
        return cls(contributions.double(), given.expand(shape), how)


@dataclass(frozen=True)
class Padded:
    """Histories side by side: items (rows, longest) int64, -1 behind the last of a history, and
    values (rows, longest) float64, 0 there; places: (entries,) int64, where each entry is."""

    items: Tensor
    values: Tensor
    places: Tensor

    @classmethod
    def of(cls, matrix: Any) -> Padded:
        """The rows of a CSR (rows, n_items)."""
        lengths = np.diff(matrix.indptr)
        longest = max(int(lengths.max(initial=0)), 1)
        rows = row_numbers(matrix.indptr)
        places = rows * longest + np.arange(len(rows)) - matrix.indptr[:-1].astype(np.int64)[rows]
        items = np.full((len(lengths), longest), -1)
        items.reshape(-1)[places] = matrix.indices
        values = np.zeros(items.shape)
        values.reshape(-1)[places] = matrix.data
        return cls(*(torch.from_numpy(part) for part in (items, values, places)))

    @property
    def filled(self) -> Tensor:
        """Whether there is an item, (rows, longest) bool."""
        return self.items >= 0

    def spread(self, entries: Tensor) -> Tensor:
        """A number for each entry, (entries,), in its place: (rows, longest), 0 elsewhere."""
        out = entries.new_zeros(self.items.shape)
        out.view(-1)[self.places.to(out.device)] = entries
        return out

    def weighted(self, weights: Tensor) -> Tensor:
        """The values times the weights (rows, longest, asked): contributions."""
        return weights.double() * self.values[:, :, None]


def from_table(histories: Any, columns: Tensor, table: Tensor) -> Tensor:
    """Contributions value_i x table_ij of items i of CSR histories to the items j of `columns`.

    columns: (rows, asked) int64; table: (n_items, n_items). Returns (rows, longest, asked) float64.
    """
    some = Padded.of(histories)
    return some.weighted(table[some.items.clamp_min(0)[:, :, None], columns[:, None, :]])


def from_factors(histories: Any, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """As `from_table`, of the table left right' with factors (n_items, n) each."""
    some = Padded.of(histories)
    rows = left[some.items.clamp_min(0)].double()  # (rows, longest, n)
    return some.weighted(rows @ right[columns].double().mT)


def from_sparse(histories: Any, columns: Tensor, table: Any) -> Tensor:
    """As `from_table`, of a CSR table."""
    some = Padded.of(histories)
    return some.weighted(cells_of(table, some.items, columns))


def cells_of(table: Any, rows: Tensor, columns: Tensor) -> Tensor:
    """The cells of a CSR (n, m) in some rows and columns: (groups, a, b) float64.

    rows: (groups, a), -1 for an empty row; columns: (groups, b), distinct in each group.
    """
    flat, width = rows.numpy().reshape(-1), table.shape[1] + 1
    starts = np.where(flat >= 0, table.indptr[flat], 0).astype(np.int64)
    lengths = np.where(flat >= 0, table.indptr[flat + 1], 0) - starts
    owner = np.repeat(np.arange(len(flat)), lengths)
    entries = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entries += starts[owner]
    groups = np.arange(len(columns))[:, None]
    wanted = (groups * width + columns.numpy() + 1).reshape(-1)
    order = np.argsort(wanted, kind="stable")
    keys = owner // max(rows.shape[1], 1) * width + table.indices[entries] + 1
    at = np.searchsorted(wanted[order], keys)
    found = np.flatnonzero(np.append(wanted[order], -1)[at] == keys)
    out = np.zeros((len(flat), columns.shape[1]))
    out[owner[found], order[at[found]] % columns.shape[1]] = table.data[entries[found]]
    return torch.from_numpy(out).view(*rows.shape, columns.shape[1])


def nothing(matrix: Any, baseline: Tensor) -> Parts:
    """Parts of scores that do not depend on the history: all contributions are zero."""
    shape = Padded.of(matrix).items.shape
    return Parts.of(torch.zeros(*shape, baseline.shape[1]), NO_HISTORY, baseline)
