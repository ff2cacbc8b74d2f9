"""EASE: the linear autoencoder in closed form."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recae.recommender import LinearRecommender, estimator


@estimator
class EASE(LinearRecommender):
    """A linear autoencoder that may not use an item to explain itself.

    B = argmin |X - X B|^2 + l2 |B|^2 subject to diag(B) = 0, which is, with P = (X'X + l2 I)^-1,
    B_ij = -P_ij / P_jj and B_jj = 0. The scores of a history x are x B.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8. Often the best
    single model up to some 50,000 items, with one hyperparameter. Costs items^3 operations and one
    item-item matrix, 8 items^2 bytes while fitting in float64 and 4 items^2 otherwise and after;
    with clearly fewer users than items users^3 operations and 8 users^2 + 4 items^2 bytes of
    memory, in float64, by the identity of Woodbury. `weights_[i, j]` is how much item i in a
    history speaks for item j. Inverts on a GPU where there is one and the matrix fits twice (not
    yet run on one), else on the CPU.

    >>> recae.EASE(l2=1.0).fit(data).recommend(0)["item_id"].tolist()  # items 1 and 2 go together
    [2, 3]
    """

    name = "ease"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=800.0)
    }

    def _scale(self, inverse_diagonal: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        return 1 / inverse_diagonal
