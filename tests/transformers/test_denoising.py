"""Denoising: noise in training only, on the input only, and what it buys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae

from .conftest import small

NOISES = ("masking", "dropout", "gaussian", "salt-and-pepper")


@pytest.mark.parametrize("noise", NOISES)
def test_without_noise_it_is_the_plain_autoencoder(noise: str, X: np.ndarray) -> None:
    plain = small("autoencoder").fit(X, seed=3)
    quiet = small("denoising", noise=noise, amount=0.0).fit(X, seed=3)
    loud = small("denoising", noise=noise, amount=0.4).fit(X, seed=3)
    assert np.array_equal(quiet.transform(X), plain.transform(X))
    assert not np.array_equal(loud.transform(X), plain.transform(X))
    assert loud.epochs_[0].loss > quiet.epochs_[0].loss


@pytest.mark.parametrize("noise", ["masking", "gaussian"])
def test_it_undoes_the_corruption_that_it_has_learnt(noise: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 12))
    X /= X.std()
    settings: dict[str, Any] = {"latent": 12, "hidden": (32,), "epochs": 60, "lr": 3e-3}
    denoising = recae.DenoisingAutoencoder(noise=noise, amount=0.5, **settings).fit(X[:500])
    plain = recae.Autoencoder(**settings).fit(X[:500])
    clean = X[500:]
    bad = clean * (rng.random(clean.shape) >= 0.5)
    if noise == "gaussian":
        bad = clean + 0.5 * rng.normal(size=clean.shape)

    def error(model: Any) -> float:
        return float(np.square(model.reconstruct(bad) - clean).mean())

    assert error(denoising) < 0.7 * error(plain)
    assert error(denoising) < 0.6 * np.square(bad - clean).mean()


def test_salt_and_pepper_takes_the_extremes_of_the_scaled_examples(X: np.ndarray) -> None:
    model = small("denoising", noise="salt-and-pepper").fit(X)
    scaled = (X - X.mean(0)) / np.sqrt(X.var(axis=0).mean())
    noise = model.network_.corrupt
    assert (noise.low, noise.high) == pytest.approx((scaled.min(), scaled.max()), rel=1e-5)
    with pytest.raises(recae.ConfigError, match="salt-and-pepper.*sparse"):
        small("denoising", noise="salt-and-pepper").fit(sp.csr_matrix(X))
