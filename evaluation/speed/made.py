"""Histories and factors that are made, with the long tail of real ones, for what only ranks."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae.models.factors._base import FactorRecommender
from recae.rng import numpy_generator

LENGTH = 80
"""Items of a user, on average."""


def histories(n_users: int, n_items: int, seed: int = 0) -> sp.csr_matrix:
    """Ones, (n_users, n_items): an item of rank r comes in proportion to (r + 20)^-0.8, and users
    have a lognormal number of items, about LENGTH on average and at least 5."""
    rng = numpy_generator(seed)
    lengths = rng.lognormal(np.log(LENGTH) - 0.32, 0.8, n_users).astype(np.int64)
    lengths = np.clip(lengths, 5, n_items // 4)
    chance = np.cumsum((np.arange(n_items) + 20.0) ** -0.8)
    items = np.searchsorted(chance, rng.random(int(lengths.sum())) * chance[-1])
    cells = np.unique(np.repeat(np.arange(n_users), lengths) * n_items + items)
    users, items = np.divmod(cells, n_items)
    ones = np.ones(len(cells), dtype=np.float32)
    return sp.csr_matrix((ones, (users, items)), shape=(n_users, n_items))


def item_factors(n_items: int, latent: int, seed: int = 1) -> np.ndarray:
    """(n_items, latent) float32: directions that matter less and less, and items that are the
    longer the more popular they are, as they come out of a factorisation."""
    drawn = numpy_generator(seed).standard_normal((n_items, latent), dtype=np.float32)
    drawn *= (1 + np.arange(latent, dtype=np.float32) / 20) ** -0.5
    drawn *= ((np.arange(n_items, dtype=np.float32) + 20) ** -0.2)[:, None]
    return drawn


def factor_model(
    model: FactorRecommender, data: recae.Interactions, factors: np.ndarray
) -> FactorRecommender:
    """The model as if it had been fitted on these data and had found these item factors."""
    model._own(data)
    given = torch.from_numpy(factors)
    model._restore({"item_factors": given, "input_factors": given})
    return model


def vae(data: recae.Interactions, latent: int, seed: int = 2) -> recae.MultVAE:
    """A Mult-VAE of its default shape whose weights are drawn, and never trained."""
    model = recae.MultVAE(latent=latent)
    model._own(data)
    model.network_ = model._network(data.n_items, data.n_users).eval()
    model.network_.initialise(torch.Generator().manual_seed(seed))
    return model
