"""Infinity-AE: the infinitely wide autoencoder, as kernel regression over users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions, csr
from recae.data.splits import Fold
from recae.errors import CapacityError
from recae.estimators.params import estimator, learnt, param
from recae.models.linear._gpu import gram_on_gpu
from recae.models.linear._solve import (
    Matrix,
    blocks,
    device_that_fits,
    negative_inverse_,
    to_float32,
)
from recae.nn.products import multiply
from recae.ranking.batches import dense
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories, dense_times
from recae.recommend.saved import csr_from_arrays, csr_to_arrays, expect
from recae.recommend.weights import weight_transform_param, weighted, weights_param
from recae.system.machine import total_memory
from recae.system.progress import bar

WEIGHT_VARIANCE, BIAS_VARIANCE = 2.0, 0.01
"""Weights and biases of the authors' network have standard deviations sqrt(2) and 0.1."""

SPARE = 0.85
"""Share of the memory that the user-user matrix may take."""

ROWS = 256
"""Rows of the kernel made at a time; each takes some 64 bytes for every training user."""

PARTS = 32
"""Parts of a kernel on a GPU; one takes ten times its own memory meanwhile."""

POINTS = 64
"""Points of the way from the empty history to a history, for `explain`."""


@estimator
class InfiniteAE(Recommender):
    """An infinitely wide autoencoder, trained to convergence in closed form.

    The scores of a history x are K(x, X) (K(X, X) + l2 tr(K) / n I)^-1 X, with K the neural tangent
    kernel of a ReLU network with one hidden layer.

    Sachdeva, Dhaliwal, Wu & McAuley, "Infinite Recommendation Networks: A Data-Centric Approach",
    NeurIPS 2022. Hard to beat where users are few, with one hyperparameter. Costs
    users^3 operations and 8 users^2 bytes of memory; the model keeps the training histories and 4
    users^2 bytes, and scoring one history costs users^2 operations. Computes on a GPU where there
    is one and the matrix fits twice. As in the authors' code, histories enter the kernel as they
    are, not normalised.

    >>> recae.InfiniteAE(l2=1.0).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "infinite-ae"
    uses_device = True
    cubic = True
    small = dict(l2=0.7)

    l2: float = param(
        "ridge, as a share of the kernel's mean diagonal", default=5.0, above=0, usual=(0.1, 100)
    )
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    histories_: Any = learnt()
    inverse_: Tensor = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Inverts the kernel of all pairs of training users plus the ridge. Raises CapacityError,
        before the work, where (users, users) float64 does not fit."""
        n, available = data.n_users, SPARE * total_memory()
        if 8 * n**2 > available:
            raise CapacityError(
                f"InfiniteAE on {n:,} users needs {8 * n**2 / 1e9:.1f} GB for a user-user matrix, "
                f"and {available / 1e9:.1f} GB may be used: keep fewer users, or use SVDAE or EASE"
            )
        self.histories_ = weighted(self, data.matrix, "both")
        device = device_that_fits(type(self).__name__, run.device, 8 * n**2)
        with bar(blocks(n), type(self).__name__, "block", run.progress) as progress_bar:
            with np.errstate(over="ignore", invalid="ignore"):  # the solver checks it
                system = self._system(device)
            diagonal = torch.as_tensor(system).diagonal()
            diagonal.add_(self.l2 * float(diagonal.cpu().numpy().mean()))
            negative_inverse_(system, self.l2, progress_bar)
        torch.as_tensor(system).neg_()
        del diagonal  # the memory may move below
        self.inverse_ = to_float32(system)

    def _system(self, device: torch.device) -> Matrix:
        """The kernel of all pairs of training users, (n_users, n_users) float64."""
        known, n = self.histories_, self.histories_.shape[0]
        if device.type == "cpu":
            system = np.empty((n, n))
            for start in range(0, n, ROWS):
                rows = slice(start, start + ROWS)
                system[rows] = self._kernel(known[rows])
            return system
        there = gram_on_gpu([known.T.tocsr()], n, np.dtype(np.float64), device)
        first = there.mul_(WEIGHT_VARIANCE / known.shape[1]).add_(BIAS_VARIANCE)
        lengths = first.diagonal().sqrt()
        for part, own in zip(first.chunk(PARTS), lengths.chunk(PARTS), strict=True):
            part.copy_(_tangent(part, own[:, None] * lengths, torch))
        return first

    def _kernel(self, rows: Any) -> np.ndarray:
        """The neural tangent kernel of some histories with those of training, (rows, n_users).

        With the variances v of weights and b of biases and d items: that of S = v x.x' / d + b
        after the first layer, by `_tangent`.
        """
        v, b, d = WEIGHT_VARIANCE, BIAS_VARIANCE, rows.shape[1]
        if self.weights != "neither":  # counts of common items are exact in float32, as ones are
            rows = rows.astype(np.float64)
        first: np.ndarray = v / d * (rows @ self.histories_.T).toarray().astype(np.float64) + b
        own, others = (
            np.sqrt(v / d * csr.row_sums(np.square(some.data, dtype=np.float64), some.indptr) + b)
            for some in (rows, self.histories_)
        )
        kernel: np.ndarray = _tangent(first, own[:, None] * others, np)
        return kernel

    def _score_rows(self, matrix: Any) -> Tensor:
        histories = weighted(self, matrix, "both")
        parts = [torch.empty(0, matrix.shape[1])]
        for start in range(0, matrix.shape[0], ROWS):
            kernel = self._kernel(histories[start : start + ROWS]).astype(np.float32)
            duals = multiply(torch.from_numpy(kernel), self.inverse_)  # (rows, n_users)
            scores = (self.histories_.T @ duals.numpy().T).T
            parts.append(torch.from_numpy(np.ascontiguousarray(scores)))
        return torch.cat(parts)

    def _onnx_scores(self, histories: Histories) -> Value:
        """The kernel in float64. ONNX has the arc cosine in float32 only, so it is corrected."""
        read = histories.weighted(self, "both")
        exact = read.values.to("float64")
        v, b, d = WEIGHT_VARIANCE, BIAS_VARIANCE, histories.n_items
        known = self.histories_
        common = read.spread(known.T.tocsr(), exact)
        first = common * (v / d) + b  # (rows, n_users)
        own = apply("Sqrt", read.row_sums(exact * exact) * (v / d) + b).reshaped([-1], [1])
        squares = csr.row_sums(np.square(known.data, dtype=np.float64), known.indptr)
        lengths = own * np.sqrt(v / d * squares + b)
        cosine = apply("Max", apply("Min", first / lengths, 1.0), -1.0)
        sine = apply("Sqrt", (1.0 - cosine) * (cosine + 1.0))
        # The arc cosine exists in float32: t = u + arcsin(sin(t - u)) makes it one of float64.
        near = apply("Acos", cosine.to("float32")).to("float64")
        # (Older runtimes have no cosine in float64.)
        off = sine * apply("Sin", near + np.pi / 2) - cosine * apply("Sin", near)
        other = np.pi - (near + off + off * off * off / 6.0)
        kernel = (lengths * (sine + other * cosine) + first * other) * (v / (2 * np.pi)) + b
        return dense_times(kernel.to("float32") @ self.inverse_.numpy(), known)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """Integrated gradients: K(a x, X) along 0 < a < 1, with the derivatives in closed form.

        With S and the lengths of `_kernel`, L = |x| |x'|, K = v A + b + v S (pi - t) / 2 pi and A
        the ReLU: dA/dS = (pi - t) / 2 pi, dA/dL = sin t / 2 pi, and the derivatives of
        S (pi - t) are pi - t + S / (L sin t) in S, and -S^2 / (L^2 sin t) in L.
        """
        v, b, d = WEIGHT_VARIANCE, BIAS_VARIANCE, matrix.shape[1]
        histories = weighted(self, matrix, "both").astype(np.float64)
        asked, at = np.unique(columns.numpy(), return_inverse=True)
        at = at.reshape(columns.shape)
        outcomes = self.histories_[:, asked].toarray()  # (n_users, asked)
        duals = multiply(self.inverse_, torch.from_numpy(outcomes.T.copy())).numpy()
        common = v / d * (histories @ self.histories_.T).toarray()  # (rows, n_users)
        squares, others = (
            v / d * csr.row_sums(np.square(some.data, dtype=np.float64), some.indptr)
            for some in (histories, self.histories_)
        )
        others = np.sqrt(others + b)
        in_s, in_x = np.zeros_like(common), np.zeros_like(common)
        for node, share in zip(*np.polynomial.legendre.leggauss(POINTS), strict=True):
            a = (node + 1) / 2
            s, own = a * common + b, np.sqrt(a**2 * squares + b)[:, None]
            lengths = own * others
            cosine = np.clip(s / lengths, -1, 1)
            angle = np.arccos(cosine)
            sine = np.sqrt(np.maximum(1 - cosine**2, 1e-30))
            of_s = v * (2 * (np.pi - angle) + cosine / sine) / (2 * np.pi)
            of_length = v * (sine - cosine**2 / sine) / (2 * np.pi)
            in_s += share / 2 * of_s
            in_x += share / 2 * of_length * others * a / own
        some = Padded.of(histories)
        users = self.histories_.T.tocsr()[some.items.clamp_min(0).view(-1).numpy()]
        longest = some.items.shape[1]
        found = np.empty((len(columns), longest, columns.shape[1]))
        for row in range(len(columns)):  # of one batch, in which a row costs n_users^2 anyway
            own = duals[:, at[row]]
            theirs = users[row * longest : (row + 1) * longest]
            found[row] = theirs @ (in_s[row][:, None] * own)
            found[row] += some.values[row].numpy()[:, None] * (in_x[row] @ own)
        empty = dense(self._score_rows(sp.csr_matrix(np.zeros((1, d), dtype=np.float32))))[0]
        parts = some.weighted(torch.from_numpy(v / d * found))
        return Parts.of(parts, "integrated gradients from the empty history", empty[columns])

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"inverse": self.inverse_, **csr_to_arrays("histories", self.histories_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n = len(arrays["inverse"])
        self.inverse_ = expect(arrays["inverse"], n, n)
        self.histories_ = csr_from_arrays("histories", arrays, (n, len(self.items_)))


def _tangent(first: Any, lengths: Any, of: Any) -> Any:
    """The neural tangent kernel from S and sqrt(S_xx S_x'x') of pairs, by numpy or torch.

    With t the angle with cos t = S / sqrt(S_xx S_x'x'): the ReLU turns S into
    sqrt(S_xx S_x'x') (sin t + (pi - t) cos t) / 2 pi, its derivative into (pi - t) / 2 pi
    (Cho & Saul 2009), and K = v ReLU(S) + b + v S ReLU'(S) (Jacot et al. 2018).
    """
    v, b = WEIGHT_VARIANCE, BIAS_VARIANCE
    cosine = of.clip(first / lengths, -1, 1)
    angle = of.arccos(cosine)
    after = lengths * (of.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    return v * after + b + v * first * (np.pi - angle) / (2 * np.pi)
