"""The best columns of one row of factored scores, found in a coarse copy of the factors.

To score one user takes as long as reading all item factors from memory. A copy in int8 is read in
a quarter of the time. It says which columns may be among the best k, and only those are scored
with the factors themselves, so the list is the same.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recae.nn.products import FactoredScores
from recae.ranking.one_row import Columns, Scores, best_of_row, kth_highest, one_row

LEAST = 1 << 20
"""Factors, at least: 4 MiB. Fewer stay in the cache."""

WIDEST = 4096
"""Factors of a column, at most: sums of their products stay below 2^24, exact in float32."""

STEPS = 63
"""The largest integer of a factor. Processors without VNNI instructions add 128 to one side, and
sums of two products in int16: (63 + 128) x 63 x 2 fits."""

ROUNDING = 2.0**-22
"""More than the rounding of two sums of float32 products, relative, for each product."""

UNDERFLOW = 1e-36
"""More than what products lose that are too small for float32."""

MOST = 8
"""If more than one column in so many may be among the best, all are scored."""


def integer_products() -> bool:
    """Whether torch multiplies int8 by oneDNN on this machine."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return x86 and onednn and hasattr(torch, "_int_mm")


@dataclass(frozen=True)
class Coarse:
    """Columns C (n_items, n) float32 in integers: C_j = step_j q_j + a rest.

    cells: q, (n_items, n) int8; steps: (n_items,); lengths: of step_j q_j, (n_items,); rests: the
    length of the rest, and a share for rounding. The score r C_j of a row r = s p + a rest, p
    integers, differs from step_j s (p q_j) by at most |r| rests_j + |r - s p| lengths_j (Cauchy and
    Schwarz). The product p q_j is exact.
    """

    columns: Tensor
    cells: Tensor
    steps: Scores
    lengths: Scores
    rests: Scores

    @classmethod
    def of(cls, columns: Tensor) -> Coarse | None:
        """The coarse copy, or None where it does not help or cannot be made."""
        if columns.device.type != "cpu" or columns.dtype != torch.float32:
            return None
        if columns.numel() < LEAST or columns.shape[1] > WIDEST or not integer_products():
            return None
        cells = torch.empty(columns.shape, dtype=torch.int8)
        steps, lengths, rests, expected = torch.empty(4, len(columns)).unbind()
        trial = torch.arange(columns.shape[1]) * 37 % (2 * STEPS + 1) - STEPS
        block = max(1, LEAST // columns.shape[1])
        with torch.inference_mode():
            for first in range(0, len(columns), block):
                some = slice(first, first + block)
                part = columns[some]
                steps[some] = (part.abs().amax(1) / STEPS).clamp_min(torch.finfo().tiny)
                scaled = part / steps[some, None]  # its squares do not underflow
                whole = torch.round(scaled)
                cells[some] = whole
                expected[some] = torch.mv(whole, trial.float())
                lengths[some] = steps[some] * torch.linalg.vector_norm(whole, dim=1)
                rests[some] = steps[some] * torch.linalg.vector_norm(scaled - whole, dim=1)
            if not torch.isfinite(lengths).all():
                return None
            if not np.array_equal(_product(trial, cells), expected.numpy()):
                return None  # of one factor, torch makes zeros
        lengths *= 1 + 2.0**-10  # themselves rounded
        rests += 2.0**-10 * rests + ROUNDING * columns.shape[1] * lengths
        return cls(columns, cells, *(some.numpy() for some in (steps, lengths, rests)))

    def candidates(
        self, row: Tensor, bias: npt.NDArray[np.float32] | None, k: int, hidden: Columns
    ) -> Columns | None:
        """The columns that may be among the best k but for the hidden ones, ascending; None if
        they are too many, or if the row is not finite."""
        step = float(row.abs().max()) / STEPS
        if not 0 < step < np.inf:
            return None
        scaled = row / step
        whole = torch.round(scaled)
        length = step * float(torch.linalg.vector_norm(scaled)) * (1 + 2.0**-10)
        rest = step * float(torch.linalg.vector_norm(scaled - whole)) * (1 + 2.0**-10)
        near = _product(whole, self.cells) * (self.steps * np.float32(step))
        off = self.rests * np.float32(length) + self.lengths * np.float32(rest + length * 2.0**-20)
        off += np.float32(UNDERFLOW)
        if bias is not None:
            near += bias
            off += np.abs(near) * np.float32(ROUNDING)
        near[hidden] = -np.inf
        if not near.max() < np.inf:
            return None
        least = kth_highest(near - off, k)
        near += off
        if np.count_nonzero(near >= least) > len(near) // MOST:
            return None
        found: Columns = np.flatnonzero(near >= least)
        return found

    def best(
        self, scores: FactoredScores, k: int, hidden: Columns
    ) -> tuple[Columns, Scores] | None:
        """As `best_of_row` of the scores of one row, hidden ones -inf; None if it cannot say."""
        with torch.inference_mode():
            row = scores.rows[0]
            bias = None if scores.bias is None else scores.bias.detach().numpy()
            columns = self.candidates(row, bias, k, hidden)
            if columns is None:
                return None
            few = FactoredScores(row[None], self.columns[torch.from_numpy(columns)])
            if bias is not None:
                few = replace(few, bias=torch.from_numpy(bias[columns]))
            best, values = best_of_row(one_row(few), k)
        return columns[best], values


def _product(row: Tensor, cells: Tensor) -> Scores:
    """Integers (n,) times int8 (n_items, n): (n_items,), exact. `torch._int_mm` is not public:
    `Coarse.of` tries it on each matrix before relying on it."""
    product: Scores = torch._int_mm(row.to(torch.int8)[None], cells.t())[0].float().numpy()
    return product
