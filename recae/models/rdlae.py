"""RDLAE: RLAE with dropout."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recae.recommender import LinearRecommender, estimator, param


@estimator
class RDLAE(LinearRecommender):
    """A linear denoising autoencoder that may use an item to explain itself up to a bound.

    B = argmin E |X - D(X) B|^2 + l2 |B|^2 subject to diag(B) <= xi, where D drops entries with
    probability p = `dropout`: I - P diag(c) with the ridge r_i = l2 + X'X_ii p / (1 - p) for item
    i, P = (X'X + diag(r))^-1 and c_j = max(r_j, (1 - xi) / P_jj). xi = 0 is EDLAE.

    Moon, Kim & Lee, "It's Enough: Relaxing Diagonal Constraints in Linear Autoencoders for
    Recommendation", SIGIR 2023, the diagonal kept as in RLAE. The most general of the linear
    family, with three hyperparameters to tune; recommends more of what few have. Costs and memory
    are those of EASE: items^3 operations, 8 items^2 bytes in float64, or less with few users.
    Inverts on a GPU where there is one and the matrix fits twice (not yet run on one), else on the
    CPU.

    >>> recae.RDLAE(l2=1.0, dropout=0.5, xi=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "rdlae"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=1000.0, dropout=0.2, xi=0.6)
    }

    dropout: float = param(
        "share of the interactions that are dropped", default=0.3, low=0, high=0.99, usual=(0, 0.8)
    )
    xi: float = param("bound of the diagonal of B", default=0.3, low=0, high=1, usual=(0, 0.9))

    def _ridge(self, gram_diagonal: np.ndarray) -> np.ndarray:
        return self.l2 + gram_diagonal * (self.dropout / (1 - self.dropout))

    def _scale(self, inverse_diagonal: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        scale: np.ndarray = np.maximum(ridge, (1 - self.xi) / inverse_diagonal)
        return scale
