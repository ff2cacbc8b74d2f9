"""PureSVD: the best linear autoencoder of low rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from recae.data.scaled import Rows
from recae.data.svd import Products, truncated_svd
from recae.estimators.params import estimator
from recae.models.factors._base import SVDRecommender


@estimator
class PureSVD(SVDRecommender):
    """Histories projected onto the leading singular vectors of the interactions.

    X ~ U S V' of rank `latent`; the scores of a history x are x V V'.

    Cremonesi, Koren & Turrin, "Performance of Recommender Algorithms on Top-N Recommendation
    Tasks", RecSys 2010. A strong cheap reference with one hyperparameter. Costs some
    100 x interactions x latent + 40 x min(users, items) x latent^2 operations and memory of
    10 x (users + items) x latent bytes; the model has items x latent numbers, twice. Finds the
    vectors on a GPU where there is one; recommends on the CPU.

    >>> recae.PureSVD(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "pure-svd"
    small = dict(latent=5)

    def _factors(
        self, matrix: Any, read: Callable[[Any], Any], options: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        _, _, v = truncated_svd(Rows(matrix, read), self.latent, **options)
        return v, v


@estimator
class SVDAE(SVDRecommender):
    """A linear autoencoder from degree-normalised histories to plain ones, of low rank.

    B = argmin |X - N B|^2 by the pseudo-inverse of rank `latent`: with N = D_U^-1/2 X D_I^-1/2
    ~ U S V', B = V S^-1 U' X. The scores of a history x are x D_I^-1/2 B, which is the ranking
    that its normalised row would give.

    Hong et al., "SVD-AE: Simple Autoencoders for Collaborative Filtering", IJCAI 2024,
    as in the authors' code. Strong on dense data such as MovieLens for very little time; the
    truncation is what keeps noise out. Costs some 100 x interactions x latent +
    40 x min(users, items) x latent^2 operations and 10 x (users + items) x latent bytes of memory;
    the model has items x latent numbers, twice. Finds the vectors on a GPU where there is one;
    recommends on the CPU.

    >>> recae.SVDAE(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "svd-ae"
    small = dict(latent=5)

    def _factors(
        self, matrix: Any, read: Callable[[Any], Any], options: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        scaled = Rows.scaled(matrix, read, 0.5, 0.5)
        u, s, v = truncated_svd(scaled, self.latent, **options)
        inverse = np.divide(1, s, out=np.zeros_like(s), where=s > 0)
        assert scaled.of_items is not None
        left = torch.from_numpy(u)
        back = Products.of(Rows(matrix, read), left.dtype).transposed(left)
        return scaled.of_items[:, None] * v * inverse, back.numpy()
