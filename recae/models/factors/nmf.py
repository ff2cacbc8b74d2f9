"""NMF: factors that are not negative, so that parts add up and nothing is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.nonnegative import nonnegative
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.estimators.params import estimator, param
from recae.models.factors._base import FactorRecommender
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value, apply, loop
from recae.recommend.onnx.histories import Histories
from recae.recommend.weights import weight_transform_param, weighted, weights_param
from recae.rng import random_kept
from recae.system.threads import ONE_BLAS, in_threads

CELLS = 1 << 20
"""Numbers of the systems of the users who are folded in at a time: 8 MiB."""

JITTER = 1e-9
"""The least ridge of the fold-in, as a share of the mean square of a factor."""

VANISHED = 1e-6
"""The largest product of two factors, as a share of the largest weight, at which all of X has been
given up for the penalty."""

SWEEPS = 200
"""Passes over the factors in an ONNX graph, which knows no pivoting."""


@estimator
class NMF(FactorRecommender):
    """Non-negative matrix factorisation: a user is a sum of a few groups of items.

    min |X - W H|^2 / 2 + l2 / 2 (|W|^2 + |H|^2), subject to W >= 0 and H >= 0. Every user, known or
    new, is folded in: w_x = argmin over w >= 0 of |x - w H|^2 / 2 + l2 / 2 |w|^2, solved exactly,
    and the scores of the history are w_x H.

    Lee & Seung, "Learning the Parts of Objects by Non-negative Matrix Factorization", Nature 1999;
    fitted by scikit-learn with coordinate descent (Cichocki & Phan 2009), from the non-negative
    double SVD. Its factors can be read as topics, but rankings are below those of PureSVD's kin
    where many factors are needed. A sweep costs about (interactions + (users + items) x latent) x
    latent operations on one thread; memory is (users + items) x latent. A user costs some 10
    systems of `latent` equations. On the CPU.

    >>> recae.NMF(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "nmf"
    small = dict(latent=5, iterations=30, l2=0.1)

    latent: int = param("number of factors, at most", default=64, low=1, usual=(16, 256))
    l2: float = param("weight of the squared factors", default=0.0, low=0, usual=(0.01, 100))
    iterations: int = param("sweeps over users and items", default=50, low=1, usual=(20, 200))
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Coordinate descent of scikit-learn from the SVD, with l2 divided by the sizes that
        scikit-learn multiplies it by. Raises TrainingError if all factors vanish."""
        with random_kept():
            from sklearn.decomposition import non_negative_factorization

        x = weighted(self, data.matrix, "both").astype(np.float64)
        n_users, n_items = x.shape
        found = min(self.latent, n_users, n_items)  # no more exist in the SVD
        with ONE_BLAS:  # the products are small, and scikit-learn's sweeps use one thread
            of_users, factors, _ = non_negative_factorization(
                x,
                n_components=found,
                init="nndsvda",
                solver="cd",
                max_iter=self.iterations,
                tol=0.0,  # so that all of them are done, without a warning
                alpha_W=self.l2 / n_items,  # scikit-learn multiplies by these sizes
                alpha_H=self.l2 / n_users,
                l1_ratio=0.0,
                random_state=0,  # of the randomised SVD, which hardly depends on it
            )
        if (of_users.max(0) * factors.max(1)).max() < VANISHED * x.data.max():
            raise TrainingError(
                f"all factors are zero at l2={self.l2}: lower l2", parameter="l2", value=self.l2
            )
        self.item_factors_ = np.zeros((n_items, self.latent), dtype=np.float32)
        self.item_factors_[:, :found] = factors.T

    def _system(self) -> Tensor:
        """H H' + l2 I, (latent, latent) float64."""
        y = tensor_of(self.item_factors_).double()
        system = y.t() @ y
        least = JITTER * float(system.diagonal().mean()) or 1.0
        system.diagonal().add_(max(self.l2, least))
        return system

    def _embed_rows(self, matrix: Any) -> Tensor:
        return self._weights_of(weighted(self, matrix, "both")).float()

    def _weights_of(self, histories: Any) -> Tensor:
        """w of CSR histories, (rows, latent) float64."""
        system, n = self._system(), self.latent
        rights = torch.from_numpy(histories @ self.item_factors_.astype(np.float64))
        parts = torch.split(rights, max(CELLS // n**2, 1))
        found = in_threads(lambda part: nonnegative(system, part), parts)
        return torch.cat(found)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """w is linear in the history, given which of its factors are above zero."""
        histories = weighted(self, matrix, "both")
        free = self._weights_of(histories) > 0  # (rows, latent)
        both = free[:, :, None] & free[:, None, :]
        system = torch.where(both, self._system(), 0)
        system.diagonal(dim1=1, dim2=2).add_(~free)
        y = tensor_of(self.item_factors_).double()
        asked = y[columns].mT * free[:, :, None]  # (rows, latent, asked)
        solved = torch.linalg.solve(system, asked) * free[:, :, None]
        some = Padded.of(histories)
        found = some.weighted(y[some.items.clamp_min(0)] @ solved)
        return Parts.of(found, "exact, given which factors of the user are above zero")

    def _onnx_codes(self, histories: Histories) -> Value:
        """By coordinate descent, which needs neither pivoting nor equations."""
        n, read = self.latent, histories.weighted(self, "both")
        system, unit = self._system().numpy(), np.eye(n)
        right = read.bag(self.item_factors_).to("float64")  # (rows, n)

        def step(number: Value, w: Value) -> tuple[None, list[Value], list[Value]]:
            at = apply("Mod", number, n).reshaped([1])
            here = x_graph.constant(unit)[at]  # (1, n): one for this factor
            own = x_graph.constant(system)[at]
            now = (w * here).sum(1, keep=True)
            slope = (w * own - right * here).sum(1, keep=True)
            new = apply("Max", now - slope / (own * here).sum(1, keep=True), 0.0)
            return None, [w + (new - now) * here], []

        x_graph = read.graph
        begin = right * 0.0
        most = x_graph.constant(np.array(SWEEPS * n))
        (found,) = loop(right, most, step, [begin])
        return found.to("float32")
