"""What training minimises: a reconstruction loss plus weighted penalty terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from recae.nn import Batch, Scores

Weight = float | Callable[[Batch, int], "float | Tensor"]


@dataclass(frozen=True)
class LinearAnneal:
    """A weight that rises linearly with the updates and stops at `cap`: min(cap, rate * step).

    Liang et al. (2018, section 2.2.2) anneal the KL term so, with cap 0.2 and rate 1 / 200,000.
    """

    cap: float
    rate: float

    def __call__(self, batch: Batch, step: int) -> float:
        return min(self.cap, self.rate * step)


def annealed(cap: float, share: float, updates: int) -> Weight:
    """A weight that rises to `cap` over a share of the planned updates; `cap` for a share of 0."""
    return LinearAnneal(cap, cap / (share * updates)) if share else cap


@dataclass(frozen=True)
class Objective:
    """reconstruction + sum over terms of mean(weight * term), averaged over the rows.

    reconstruction: a loss that the scores offer, such as "multinomial";
    weights: for every term of the code, a number or `f(batch, step)` giving a number or (rows,).
    """

    reconstruction: str = "multinomial"
    weights: Mapping[str, Weight] = field(default_factory=dict)

    def __call__(
        self, scores: Scores, terms: Mapping[str, Tensor], batch: Batch, step: int
    ) -> Tensor:
        """The loss of a batch, a scalar; `step` counts the updates made so far."""
        loss = scores.loss(self.reconstruction, batch.target)
        for name, term in terms.items():
            weight = self.weights[name]
            loss = loss + (term * (weight(batch, step) if callable(weight) else weight)).mean()
        return loss
