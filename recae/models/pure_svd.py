"""PureSVD: the best linear autoencoder of low rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.recommender import SVDRecommender, estimator


@estimator
class PureSVD(SVDRecommender):
    """Histories projected onto the leading singular vectors of the interactions.

    X ~ U S V' of rank `latent`; the scores of a history x are x V V'.

    Cremonesi, Koren & Turrin, "Performance of Recommender Algorithms on Top-N Recommendation
    Tasks", RecSys 2010. A strong cheap reference with one hyperparameter. Costs some
    (users + items) latent^2 + interactions x latent operations and memory of
    10 x (users + items) x latent bytes; the model has items x latent numbers, twice. On the CPU.

    >>> recae.PureSVD(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "pure-svd"

    def _factors(self, matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        _, _, v = self._svd(matrix)
        return v, v
