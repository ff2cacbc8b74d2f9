"""ADMM-SLIM: SLIM for all items at once, through one inverse."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.scaled import Rows
from recae.data.splits import Fold
from recae.errors import warn
from recae.estimators.params import estimator, param
from recae.models.linear._solve import blocks, over_items, plan_solver
from recae.models.linear._sparse import SparseLinear
from recae.recommend.weights import weighted
from recae.system.progress import bar

COLUMNS = 512
"""Items whose weights are computed at a time."""

CONVERGED = 0.04
"""The residuals of the last step that are warned of."""


@estimator
class ADMMSLIM(SparseLinear):
    """SLIM by alternating directions, with or without its sign: EASE with an L1 penalty.

    B = argmin |X - X B|^2 / 2 + sum r_i B_ij^2 / 2 + l1 sum |B_ij|, subject to diag(B) = 0 and,
    unless `signed`, B >= 0. The ridge of item i is r_i = l2 (n_i / n_users)^alpha, with the n_i
    users that it has. With P = (X'X + diag(r) + rho I)^-1, a step is
    B = P (X'X + rho (C - U)) - P diag(c), where c makes the diagonal zero, then
    C = max(B + U - l1 / rho, 0) and U = U + B - C. C, in CSR, is the result.

    Steck, Dimakopoulos, Riabov & Jebara, "ADMM SLIM: Sparse Recommendations for Many Users", WSDM
    2020, algorithm 1. Costs items^3 operations for the inverse and 2 x items^3 for each step,
    however many users there are. The memory is one item-item matrix, 8 items^2 bytes in float64,
    beside the weights that are not zero. `SLIM` has the same solution, exactly, without this
    matrix; this is faster where items have hundreds of weights. rho decides how fast it converges,
    and a warning says if it has not. Computes on a GPU where there is one and the matrix fits
    twice.

    >>> recae.ADMMSLIM(l1=0.1, l2=1.0, rho=1.0).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "admm-slim"
    uses_device = True
    small = dict(l1=0.3, l2=2.0, rho=5.0, iterations=20)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-1M, RecBole's published best.
        "recbole-ml-1m": dict(l1=5.0, l2=5000.0, alpha=1.0, rho=4000.0, iterations=100)
    }

    l1: float = param(
        "weight of the sum of |B|; the larger, the fewer weights",
        default=1.0,
        low=0,
        usual=(0.1, 20),
    )
    l2: float = param(
        "ridge; grows with the density of the data, tune it",
        default=200.0,
        above=0,
        usual=(1, 5000),
    )
    alpha: float = param(
        "power of an item's share of users in its ridge; 0 is the same ridge for all",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 1),
    )
    signed: bool = param("whether weights may be negative", default=False)
    rho: float = param(
        "weight of |B - C|^2; the nearer to l2 and to X'X, the fewer steps", default=1000.0, above=0
    )
    iterations: int = param("steps", default=50, low=1)

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """One inverse for all items, then the ADMM steps for a block of columns at a time. Raises
        TrainingError if all weights are zero."""
        n, name = data.n_items, type(self).__name__
        with np.errstate(over="ignore", invalid="ignore"):  # the solver checks what it inverts
            rows = Rows(data.matrix, lambda part: weighted(self, part, "both"))
            squares = rows.squares()
        shares = np.bincount(data.matrix.indices, minlength=n) / data.n_users
        ridge = self.l2 * shares**self.alpha + self.rho  # of an item without users: rho alone
        heaviest = float((squares / ridge).max())
        # As if users were many: the steps need an inverse over the items in one float.
        plan, device = plan_solver(name, n, n, heaviest, "auto", run.device)
        steps = blocks(n) + -(-n // COLUMNS)
        with bar(steps, name, "block", run.progress) as progress_bar:
            found = over_items(rows, ridge, plan.dtype, self.l2, progress_bar, device)
            assert found is not None  # a process of its own
            inverse = torch.as_tensor(found[0]).neg_()
            ridges = torch.from_numpy(ridge.astype(plan.dtype)).to(device)
            parts, distances = [], []
            for start in range(0, n, COLUMNS):
                items = torch.arange(start, min(start + COLUMNS, n), device=device)
                weights, distance = self._steps(inverse, ridges, items)
                distances.append(distance)
                parts.append(sp.csr_matrix(weights.t().float().cpu().numpy()))
                progress_bar.update()
        self._keep(sp.vstack(parts, format="csr"), data, self.l1)
        if max(distances) > CONVERGED:
            warn(
                f"ADMMSLIM has not converged in {self.iterations} steps, its residual is "
                f"{max(distances):.0%}: raise iterations, or set rho, {self.rho:g} here, nearer to "
                "l2 plus the mean of the squared lengths of the columns, "
                f"{self.l2 + float(squares.mean()):.3g}"
            )

    def _steps(self, inverse: Tensor, ridge: Tensor, items: Tensor) -> tuple[Tensor, float]:
        """C of some items after all steps, (n_items, items), and the residuals of the last one;
        inverse: P; ridge: r + rho.

        The residuals are the primal and the dual one, as shares of the largest B and U (Boyd et al.
        2011, section 3.3); the larger one counts.
        """
        own, place = inverse[:, items], (items, torch.arange(len(items), device=items.device))
        start = own * -ridge[items]  # P X'X = I - P diag(r + rho)
        start[place] += 1
        b, c, u = (torch.zeros_like(own) for _ in range(3))
        before = c
        scales = own[place]
        for _ in range(self.iterations):
            b = torch.addmm(start, inverse, c - u, alpha=self.rho)
            b.addcmul_(own, b[place] / scales, value=-1)
            b[place] = 0
            u += b
            before = c
            if self.signed:
                c = torch.nn.functional.softshrink(u, self.l1 / self.rho)
            else:
                c = (u - self.l1 / self.rho).clamp_min_(0)
            u -= c
        return c, max(_share(b - c, b), _share(c - before, u))


def _share(part: Tensor, whole: Tensor) -> float:
    """The largest of some numbers as a share of the largest of others; 0 of nothing."""
    return float(part.abs().max() / whole.abs().max().clamp_min(1e-30))
