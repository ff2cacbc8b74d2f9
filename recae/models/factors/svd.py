"""PureSVD: the best linear autoencoder of low rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.data.svd import truncated_svd
from recae.estimators.params import estimator
from recae.models.factors._base import SVDRecommender


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
    small = dict(latent=5)
    by_rows = True

    def _factors(self, matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        _, _, v = truncated_svd(matrix, self.latent)
        return v, v


NEGLIGIBLE = 1e-10
"""Singular values below this share of the largest are taken for zero."""


@estimator
class SVDAE(SVDRecommender):
    """A linear autoencoder from degree-normalised histories to plain ones, of low rank.

    B = argmin |X - N B|^2 by the pseudo-inverse of rank `latent`: with N = D_U^-1/2 X D_I^-1/2
    ~ U S V', B = V S^-1 U' X. The scores of a history x are x D_I^-1/2 B, which is the ranking
    that its normalised row would give.

    Hong et al., "SVD-AE: Simple Autoencoders for Collaborative Filtering", IJCAI 2024,
    as in the authors' code. Strong on dense data such as MovieLens for very little time; the
    truncation is what keeps noise out. Costs some (users + items) latent^2 operations and
    10 x (users + items) x latent bytes of memory; the model has items x latent numbers, twice.
    Runs on the CPU.

    >>> recae.SVDAE(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "svd-ae"
    small = dict(latent=5)

    def _factors(self, matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        of_users, of_items = (_inverse_root(matrix.sum(axis=axis)) for axis in (1, 0))
        u, s, v = truncated_svd(sp.diags(of_users) @ matrix @ sp.diags(of_items), self.latent)
        kept = s > NEGLIGIBLE * s[0]
        inverse = np.divide(1, s, out=np.zeros_like(s), where=kept)
        return of_items[:, None] * v * inverse, matrix.T @ u


def _inverse_root(degrees: Any) -> np.ndarray:
    flat = np.asarray(degrees, dtype=np.float64).ravel()
    return np.where(flat > 0, flat, 1) ** -0.5
