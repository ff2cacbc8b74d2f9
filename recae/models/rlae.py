"""RLAE: EASE whose diagonal may be a little above zero."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recae.recommender import LinearRecommender, estimator, param


@estimator
class RLAE(LinearRecommender):
    """A linear autoencoder that may use an item to explain itself, but only up to a bound.

    B = argmin |X - X B|^2 + l2 |B|^2 subject to diag(B) <= xi, which is I - P diag(c) with
    P = (X'X + l2 I)^-1 and c_j = max(l2, (1 - xi) / P_jj). xi = 0 is EASE, xi = 1 plain ridge
    regression.

    Moon, Kim & Lee, "It's Enough: Relaxing Diagonal Constraints in Linear Autoencoders for
    Recommendation", SIGIR 2023. (The authors' code then sets the diagonal to zero; that
    changes the scores of seen items only, and is not done here.) Costs and memory are those of
    EASE: items^3 operations, 8 items^2 bytes in float64, or less with few users. Inverts on
    a GPU where there is one and the matrix fits twice (not yet run on one), else on the CPU.

    >>> recae.RLAE(l2=1.0, xi=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "rlae"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=1000.0, xi=0.6)
    }

    xi: float = param("bound of the diagonal of B", default=0.5, low=0, high=1, usual=(0, 0.9))

    def _scale(self, inverse_diagonal: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        scale: np.ndarray = np.maximum(ridge, (1 - self.xi) / inverse_diagonal)
        return scale
