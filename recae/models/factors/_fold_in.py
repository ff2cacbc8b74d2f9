"""The factors of users, given those of items: weighted least squares for many users at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.nn.products import FactoredScores
from recae.recommend.frozen import tensor_of
from recae.system.threads import in_threads

CELLS = 1 << 21
"""Numbers of the item factors of some users, padded to the longest history: 8 MiB."""

SINGULAR = 3e-7
"""The smallest pivot of a root, relative to the largest, that is not taken for zero."""

LEAST = 1e-3
"""The excess of a confidence over 1 that may be divided by its root."""

EXTREME = 300
"""The confidence above which float32 is off by more than 1e-5: those are solved in float64."""


class FoldIn:
    """x_u = (Y'Y + l2 I + sum_i (c_ui - 1) y_i y_i')^-1 sum_i c_ui y_i, the sums over a history.

    Hu, Koren & Volinsky (2008), eq. 4, for items Y (n_items, n) float32. With Y'Y + l2 I = L L' and
    a_i = L^-1 y_i, both computed once, and B with the rows b_i = sqrt(c_ui - 1) a_i,

        L' x_u = (I + B'B)^-1 B'w = B' (I + B B')^-1 w,  w_i = c_ui / sqrt(c_ui - 1)

    which is a system of the size of the history for a user with fewer items than factors. Where
    c_ui - 1 has no root, D = diag(c_ui - 1) and A with the rows a_i give A' (I + D A A')^-1 c.

    A user costs about items^2 x factors, or items x factors^2 where that is less; memory is a
    second Y, and six times Y at the start. Raises ConfigError if the equations have no single
    solution.
    """

    def __init__(self, items: np.ndarray, l2: float) -> None:
        y = tensor_of(items).double()
        gram = y.t() @ y
        gram.diagonal().add_(l2)
        self.l2 = l2
        self.root = self._cholesky(gram)  # (n, n)
        whitened = torch.linalg.solve_triangular(self.root, y.t(), upper=False).t()
        # An array of numpy lies on huge pages where the system has them, and is read faster. The
        # last row stands for no item, where histories are padded.
        held = np.zeros((len(y) + 1, len(gram)), dtype=np.float32)
        self.whitened = torch.from_numpy(held)  # (n_items + 1, n)
        self.whitened[:-1] = whitened

    def vectors(self, histories: Any, confidences: np.ndarray) -> Tensor:
        """The factors x of CSR histories (rows, n_items): (rows, n) float32."""
        whitened = self.scores(histories, confidences).rows.double()
        found: Tensor = torch.linalg.solve_triangular(self.root.t(), whitened.t(), upper=True)
        return found.t().float().contiguous()

    def scores(self, histories: Any, confidences: np.ndarray) -> FactoredScores:
        """The scores x_u . y_i = (L' x_u) . a_i of CSR histories (rows, n_items).

        confidences: (entries,) float32 > 0, one for each entry.
        """
        indptr, indices = histories.indptr, histories.indices
        n_items, n = len(self.whitened) - 1, len(self.root)
        lengths = np.diff(indptr)
        order = np.argsort(-lengths, kind="stable")  # users of like length are solved together
        groups, start, long = [], 0, int((lengths >= n).sum())
        while start < len(order):
            longest = max(int(lengths[order[start]]), 1)
            end = start + max(CELLS // (longest * n), 1)
            groups.append(order[start : min(end, long) if start < long else end])
            start += len(groups[-1])

        def solve(rows: np.ndarray) -> Tensor:
            entries, places = _entries(indptr, rows)
            at = np.repeat(np.arange(len(rows)), lengths[rows]), places
            items = np.full((len(rows), max(lengths[rows].max(), 1)), n_items)
            items[at] = indices[entries]
            c = np.full(items.shape, 2, dtype=np.float32)  # times zeros
            c[at] = confidences[entries]
            with torch.inference_mode():
                return self._solve(torch.from_numpy(items), torch.from_numpy(c))

        found = torch.empty(len(order), n)
        for rows, some in zip(groups, in_threads(solve, groups), strict=True):
            found[rows] = some
        return FactoredScores(found, self.whitened[:-1])

    def parts(self, items: Tensor, c: Tensor, columns: Tensor) -> Tensor:
        """c_i y_i' (Y'Y + l2 I + sum (c - 1) y y')^-1 y_j: (rows, longest, asked) float64.

        The score of item j is the sum over the items i of a history. items: (rows, longest) int64,
        -1 behind the last; c: (rows, longest) float64, their confidences; columns: (rows, asked).
        With G = A A' and H = A a_j, the rows of A being a_i, it is diag(c) (I + G D)^-1 H.
        """
        a, others = self.whitened[items].double(), self.whitened[columns].double()
        more = torch.where(items >= 0, c - 1, 0)  # D, (rows, longest)
        longest, n = items.shape[1], len(self.root)
        if longest < n:
            inner = (a @ a.mT) * more[:, None, :]
            inner.diagonal(dim1=1, dim2=2).add_(1)
            solved = torch.linalg.solve_ex(inner, a @ others.mT).result
        else:
            outer = (a * more[:, :, None]).mT @ a
            outer.diagonal(dim1=1, dim2=2).add_(1)
            solved = a @ torch.linalg.solve_ex(outer, others.mT).result
        if not solved.isfinite().all():
            raise self._no_solution()
        found: Tensor = solved * c[:, :, None]
        return found

    def scores_of_one(self, codes: np.ndarray, confidences: np.ndarray) -> FactoredScores:
        """The scores of one history: its items (entries,), and as above."""
        with torch.inference_mode():
            found = self._solve(torch.from_numpy(codes)[None], torch.from_numpy(confidences)[None])
            return FactoredScores(found, self.whitened[:-1])

    def _solve(self, items: Tensor, c: Tensor) -> Tensor:
        """L' x of some users: items, confidences (rows, longest) -> (rows, n)."""
        longest, n = items.shape[1], len(self.root)
        a = self.whitened[items]  # (rows, longest, n)
        if c.max() > EXTREME:
            a, c = a.double(), c.double()
        more = c - 1
        if longest >= n:
            outer = (a * more[:, :, None]).mT @ a  # (rows, n, n)
            outer.diagonal(dim1=1, dim2=2).add_(1)
            right = a.mT @ c[:, :, None]
            return torch.cholesky_solve(right, self._cholesky(outer)).squeeze(2).float()
        if more.min() > LEAST:
            root = more.sqrt()
            a *= root[:, :, None]
            inner = a @ a.mT  # (rows, longest, longest)
            inner.diagonal(dim1=1, dim2=2).add_(1)
            solved = torch.cholesky_solve((c / root)[:, :, None], self._cholesky(inner))
        else:
            inner = more[:, :, None] * (a @ a.mT)
            inner.diagonal(dim1=1, dim2=2).add_(1)
            solved = torch.linalg.solve_ex(inner, c[:, :, None]).result
            if not solved.isfinite().all():
                raise self._no_solution()
        return (a.mT @ solved).squeeze(2).float()

    def _cholesky(self, matrix: Tensor) -> Tensor:
        root: Tensor
        root, failed = torch.linalg.cholesky_ex(matrix)
        pivots = root.diagonal(dim1=-2, dim2=-1)
        if failed.any() or not (pivots.amin(-1) > SINGULAR * pivots.amax(-1)).all():
            raise self._no_solution()
        return root

    def _no_solution(self) -> ConfigError:
        return ConfigError(
            f"the factors of a user have no solution at l2={self.l2}: raise l2",
            parameter="l2",
            value=self.l2,
        )


def _entries(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the entries of some rows of a CSR are, and the place of each in its row."""
    lengths = np.diff(indptr)[rows]
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(indptr[:-1][rows], lengths) + places, places
