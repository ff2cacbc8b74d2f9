"""EDLAE: EASE with dropout, solved in closed form."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recae.recommender import LinearRecommender, estimator, param


@estimator
class EDLAE(LinearRecommender):
    """A linear denoising autoencoder that may not use an item to explain itself.

    B = argmin E |X - D(X) B|^2 + l2 |B|^2 subject to diag(B) = 0, where D drops entries with
    probability p = `dropout`: EASE with the ridge l2 + X'X_ii p / (1 - p) for item i, heavier for
    what many users have.

    Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020, with a = 0
    and b = 1. A little better than EASE where both are tuned. Costs and memory are those of EASE:
    items^3 operations, 8 items^2 bytes in float64, or less with few users. Inverts on a
    GPU where there is one and the matrix fits twice (not yet run on one), else on the CPU.

    >>> recae.EDLAE(l2=1.0, dropout=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "edlae"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=400.0, dropout=0.3)
    }

    dropout: float = param(
        "share of the interactions that are dropped", default=0.3, low=0, high=0.99, usual=(0, 0.8)
    )

    def _ridge(self, gram_diagonal: np.ndarray) -> np.ndarray:
        return self.l2 + gram_diagonal * (self.dropout / (1 - self.dropout))

    def _scale(self, inverse_diagonal: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        return 1 / inverse_diagonal
