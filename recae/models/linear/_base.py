"""The base of the closed-form linear autoencoders; B is computed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.scaled import Rows
from recae.data.splits import Fold
from recae.estimators.params import estimator, learnt, param
from recae.models.linear._solve import (
    blocks,
    over_items,
    over_users,
    plan_solver,
    to_float32,
    warn_if_light,
)
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import SUM, Parts, from_table
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import expect
from recae.recommend.sparse import summed, summed_one
from recae.recommend.weights import (
    values_of_one,
    weight_transform_param,
    weighted,
    weights_param,
)
from recae.system.progress import bar


@estimator
class LinearRecommender(Recommender):
    """B = I - P diag(c), with P = (X'X + diag(r))^-1 and the scores of a history x being x B.

    With powers u and v, X is first scaled by the degrees of users and items, and the result scaled
    back. X becomes D_U^-u X D_I^-v, and then B becomes D_I^-v B D_I^v.

    With p = `dropout` the ridge is r_i = l2 + X'X_ii p / (1 - p), and with the bound `xi` of the
    diagonal of B the scale is c_j = max(r_j, (1 - xi) / P_jj). c = r is a plain ridge regression of
    X on itself; a larger c_j makes B_jj smaller, and c_j = 1 / P_jj makes it zero (Moon, Kim & Lee,
    SIGIR 2023, which derives all of them as one).

    P comes from an inverse over the items or over the users, see `_solve.py`. Several processes
    share X'X (`_gram.py`), and process 0 inverts it.
    """

    l2: float = param(
        "ridge; grows with the density of the data, tune it",
        default=200.0,
        above=0,
        usual=(0.1, 5000),
    )
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()
    user_power: float = param(
        "u: a user with n items has the weight n^(-2u)", default=0.0, low=0, high=1, usual=(0, 0.5)
    )
    item_power: float = param(
        "v: from 0, as in the paper, to 0.5, which favours rare items; l2 shrinks with it",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 0.5),
    )
    precision: str = param(
        "float of the inverse; auto: float64 if memory allows, else float32; over users float64",
        default="auto",
        choices=("auto", "float64", "float32"),
        usual=("auto",),
    )

    uses_device = True
    uses_processes = True

    # Constants, unless a model declares them as hyperparameters.
    dropout = 0.0
    xi = 0.0

    weights_: Tensor = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # the solver checks what it inverts
            rows = Rows.scaled(
                data.matrix,
                lambda part: weighted(self, part, "both"),
                self.user_power,
                self.item_power,
            )
            squares = rows.squares()
            ridge = self.l2 + squares * (self.dropout / (1 - self.dropout))
            name, heaviest = type(self).__name__, float((squares / ridge).max())
        plan, device, ranks = None, run.device, run.ranks
        if ranks is None or ranks.rank == 0:
            shape = data.n_users, data.n_items
            plan, device = plan_solver(name, *shape, heaviest, self.precision, run.device)
        plan = plan if ranks is None else ranks.told(plan)
        assert plan is not None
        steps = blocks(data.n_users) + 1 if plan.over_users else blocks(data.n_items)
        with bar(steps, name, "block", run.progress) as progress_bar:
            options = self.l2, progress_bar, device, ranks
            if plan.over_users:
                found = over_users(rows, ridge, *options)
            else:
                found = over_items(rows, ridge, plan.dtype, *options)
        if found is None:  # process 0 has the model
            return
        inverse, diagonal = found
        warn_if_light(name, self.l2, heaviest, plan)
        scale = np.maximum(ridge, (1 - self.xi) / diagonal)
        shared = torch.from_numpy(inverse)  # torch multiplies in all threads, and in one float
        of_items = np.ones(data.n_items) if rows.of_items is None else rows.of_items
        shared.mul_(torch.from_numpy((scale / of_items).astype(inverse.dtype)))
        if self.item_power:
            shared.mul_(torch.from_numpy(of_items.astype(inverse.dtype))[:, None])
        del shared  # the memory may move below
        kept = 1 - scale * diagonal
        # Diagonal entries that are zero up to rounding become exactly zero.
        zero = np.abs(kept) < 8 * np.finfo(plan.dtype).eps
        np.fill_diagonal(inverse, np.where(zero, 0, kept))
        self.weights_ = torch.from_numpy(to_float32(inverse))

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
