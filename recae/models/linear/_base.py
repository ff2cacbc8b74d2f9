"""The base of the closed-form linear autoencoders; B is computed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.scaled import Doubles
from recae.data.splits import Fold
from recae.estimators.params import estimator, learnt, param
from recae.models.linear._scaled import ScaledRecommender
from recae.models.linear._solve import (
    blocks,
    over_items,
    over_users,
    plan_solver,
    to_float32,
    warn_if_light,
)
from recae.nn.batch import sent
from recae.recommend.explain.parts import SUM, Parts, from_table
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import expect
from recae.recommend.sparse import summed, summed_one
from recae.recommend.weights import values_of_one, weighted
from recae.system.progress import bar


@estimator
class LinearRecommender(ScaledRecommender):
    """B = I - P diag(c) outside its diagonal, with P = (X'X + diag(r))^-1 of the scaled X.

    B = argmin of the expected squared error of D(X) B plus l2 (p + (1 - p) b) |B|^2 subject to
    diag(B) <= `xi`. D drops entries with probability p = `dropout` and multiplies those that it
    keeps by 1 / (1 - p), and the error of an entry that it keeps has the weight b = `kept_weight`,
    beside 1 of one that it drops. Per column this is least squares without item j, and a number
    B_jj for the kept entries. Its solution needs no other inverse, only another scale c_j of column
    j of P. With k = b / (p + (1 - p) b), g = diag(X'X), r = l2 + g p / (1 - p) and q_j = 1 / P_jj:

    c_j = q_j max(1 - k xi, (k r_j + (1 - k)(l2 + k g_j)) / (k^2 q_j + (1 - k)(l2 + k (g_j + r_j))))
    B_jj = (1 - c_j P_jj) / k.

    b = 0 and xi = 0 are both c_j = q_j, the zero diagonal of EASE and EDLAE. b = 1 is
    c_j = max(r_j, (1 - xi) q_j), RLAE and RDLAE (Moon, Kim & Lee, SIGIR 2023), and with xi = 1 the
    ridge regression of X on itself. 0 < b < 1 without a bound is DEQL (Guo et al., ICLR 2026).

    P comes from an inverse over the items or over the users, see `_solve.py`. Several processes
    share X'X (`_gram.py`), and process 0 inverts it.
    """

    precision: str = param(
        "float of the inverse; auto: float64 if memory allows, else float32; over users float64",
        default="auto",
        choices=("auto", "float64", "float32"),
        usual=("auto",),
    )

    uses_device = True
    uses_processes = True
    cubic = True

    # Constants, unless a model declares them as hyperparameters.
    dropout = 0.0
    noise = "weighted"
    kept_weight = 1.0
    xi = 0.0

    weights_: Tensor = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Inverts X'X plus the ridge, over the items or over the users as `plan_solver` decides,
        and scales its columns to the weights."""
        with np.errstate(over="ignore", invalid="ignore"):  # the solver checks what it inverts
            rows = self._scaled(data)
            squares = rows.squares()
            l2 = self._l2(squares)
            noise = squares if self.noise == "weighted" else replace(rows, of_users=None).squares()
            ridge = l2 + noise * (self.dropout / (1 - self.dropout))
            name, heaviest = type(self).__name__, float((squares / ridge).max())
        plan, device, ranks = None, run.device, run.ranks
        if ranks is None or ranks.rank == 0:
            shape = data.n_users, data.n_items
            plan, device = plan_solver(name, *shape, heaviest, self.precision, run.device)
        plan = plan if ranks is None else ranks.told(plan)
        assert plan is not None
        steps = blocks(data.n_users) + 1 if plan.over_users else blocks(data.n_items)
        with bar(steps, name, "block", run.progress) as progress_bar:
            options = l2, progress_bar, device, ranks
            if plan.over_users:
                found = over_users(rows, ridge, *options)
            else:
                found = over_items(rows, ridge, plan.dtype, *options)
        if found is None:  # process 0 has the model
            return
        inverse, diagonal = found
        warn_if_light(name, l2, heaviest, plan)
        scale, kept = self._column_scale(l2, squares, ridge, diagonal, np.finfo(plan.dtype).eps)
        before, after = self._degree_factors(rows)
        if after is not None:
            scale, kept = scale * after, kept * after
        kept = kept if before is None else kept * before
        shared = torch.as_tensor(inverse)  # torch multiplies in all threads, and in one float
        shared.mul_(_like(shared, scale))
        if before is not None:
            shared.mul_(_like(shared, before)[:, None])
        shared.diagonal().copy_(_like(shared, kept))
        del shared  # the memory may move below
        self.weights_ = to_float32(inverse)

    def _column_scale(
        self, l2: float, squares: Doubles, ridge: Doubles, diagonal: Doubles, eps: float
    ) -> tuple[Doubles, Doubles]:
        """c and the diagonal of B, (n_items,) each."""
        errors = self.dropout + (1 - self.dropout) * self.kept_weight
        k = self.kept_weight / errors if self.kept_weight else 0.0
        inverted = 1 / diagonal.astype(np.float64)
        found = k * ridge + (1 - k) * (l2 + k * squares)
        found /= k**2 * inverted + (1 - k) * (l2 + k * (squares + ridge))
        scale = inverted * np.maximum(found, 1 - k * self.xi)
        kept = 1 - scale * diagonal
        # Diagonal entries that are zero up to rounding become exactly zero.
        zero = (k == 0) | (np.abs(kept) < 8 * eps)
        return scale, np.where(zero, 0, kept / (k or 1))

    def _score_rows(self, matrix: Any) -> Tensor:
        histories = weighted(self, matrix, "both")
        return summed(histories, self.weights_)  # (rows, n_items)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        return Parts.of(from_table(weighted(self, matrix, "both"), columns, self.weights_), SUM)

    def _score_one(self, codes: np.ndarray) -> np.ndarray:
        return summed_one(codes, self.weights_, values_of_one(self, codes, "both")).numpy()

    def _onnx_scores(self, histories: Histories) -> Value:
        return histories.weighted(self, "both").bag(self.weights_.numpy())

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """Rows of `weights_`: how much each of some items adds to the scores of all others."""
        return self.weights_[torch.from_numpy(codes)]

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"weights": self.weights_}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.weights_ = expect(arrays["weights"], len(self.items_), len(self.items_))


def _like(matrix: Tensor, numbers: Doubles) -> Tensor:
    """Numbers in the float of a matrix, and on its device."""
    return sent(torch.from_numpy(numbers).to(matrix.dtype), matrix.device)
