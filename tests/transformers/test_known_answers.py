"""Answers known from elsewhere: PCA, numpy and torch, arithmetic written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.datasets
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F

import recae

from .conftest import small


def share_of_variance(X: np.ndarray, components: int) -> float:
    """What PCA explains, from the singular values."""
    squares = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2
    return float(squares[:components].sum() / squares.sum())


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_a_linear_autoencoder_explains_what_pca_explains(latent: int, X: np.ndarray) -> None:
    model = recae.Autoencoder(latent=latent, hidden=(), epochs=150, lr=0.01, batch_size=35).fit(X)
    best = share_of_variance(X, latent)
    assert best - 0.003 < model.explained_variance(X) < best + 1e-6


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "of rank 3"])
def test_the_default_explains_what_pca_explains(name: str) -> None:
    if name == "of rank 3":
        rng = np.random.default_rng(0)
        data = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 8))
    else:
        data = getattr(sklearn.datasets, f"load_{name}")().data
    for latent in (2, 3, 3 * data.shape[1]):
        model = recae.Autoencoder(latent=latent, hidden=()).fit(data)
        best = share_of_variance(data, latent)
        assert model.explained_variance(data) == pytest.approx(best, abs=1e-5)
    codes = recae.Autoencoder(latent=2, hidden=()).fit(data, seed=4).transform(data)
    expected = PCA(2, svd_solver="full").fit_transform(data)
    scale = np.sqrt(data.var(axis=0).mean())
    assert np.allclose(np.abs(codes * scale), np.abs(expected), atol=1e-4 * scale)


@pytest.mark.parametrize("sparse", [False, True])
def test_pca_without_directions_left_is_the_mean(sparse: bool) -> None:
    rows = np.tile([[1.0, 0, 4]], (6, 1))
    model = recae.Autoencoder(latent=2, hidden=()).fit(sp.csr_matrix(rows) if sparse else rows)
    assert np.allclose(model.reconstruct(rows), rows, atol=1e-5)
    assert np.allclose(model.inverse_transform([[3.0, -2]]), rows[:1], atol=1e-5)


def test_a_linear_one_of_sparse_examples_is_centred_without_a_copy(counts: Any) -> None:
    model = recae.Autoencoder(latent=3, hidden=()).fit(counts)
    best = share_of_variance(counts.toarray(), 3)
    assert model.explained_variance(counts) == pytest.approx(best, abs=1e-5)


def test_with_decay_or_noise_the_linear_one_is_trained(X: np.ndarray) -> None:
    plain = recae.Autoencoder(latent=2, hidden=()).fit(X)
    assert len(plain.epochs_) == 1
    shrunk = recae.Autoencoder(latent=2, hidden=(), l2=0.5, epochs=20, lr=0.01).fit(X)
    assert np.square(shrunk.transform(X)).sum() < 0.9 * np.square(plain.transform(X)).sum()
    noisy = recae.DenoisingAutoencoder(latent=2, hidden=(), epochs=2, amount=0.0).fit(X)
    assert np.array_equal(noisy.transform(X), plain.transform(X))
    noisy.set_params(amount=0.5).fit(X)
    assert not np.allclose(noisy.transform(X), plain.transform(X), atol=1e-3)


@pytest.mark.parametrize(("rows", "batch_size", "epochs"), [(20, 128, 1000), (20, 1, 50)])
def test_few_examples_get_enough_updates(rows, batch_size, epochs, X, monkeypatch) -> None:
    planned = {}

    def train(net, loader, objective, plan, **options) -> list:
        planned.update(epochs=plan.epochs, patience=plan.patience)
        return [recae.training.Epoch(1, 1.0, 0.0)]

    monkeypatch.setattr("recae.transformers.base.train", train)
    recae.Autoencoder(latent=2, hidden=(4,), batch_size=batch_size).fit(X[:rows])
    assert planned == {"epochs": epochs, "patience": max(epochs // 10, 5)}
    recae.Autoencoder(latent=2, hidden=(4,), epochs=7, patience=3).fit(X[:rows])
    assert planned == {"epochs": 7, "patience": 3}


def test_numbers_as_large_as_float32_allows_are_explained(X: np.ndarray) -> None:
    model = recae.Autoencoder(latent=2, hidden=()).fit(X * 1e30)
    assert model.explained_variance(X * 1e30) == pytest.approx(share_of_variance(X, 2), abs=1e-5)
    assert np.isinf(model.reconstruction_error(X * 1e30)).any()  # squares are beyond float32
    assert np.isinf(model.score_samples(X * 1e30)).any()


def test_a_training_that_ends_too_early_warns(X: np.ndarray) -> None:
    slow = recae.Autoencoder(latent=2, hidden=(8,), epochs=50, lr=1e-4)
    for validation in (None, X[:30]):
        with pytest.warns(recae.RecaeWarning, match="Autoencoder.* 50 .*epochs"):
            slow.fit(X, validation=validation)
    slow.fit(X, callbacks=lambda epoch: epoch.number == 40)  # whoever stops it knows
    recae.Autoencoder(latent=2, hidden=(8,), epochs=300, lr=5e-3).fit(X)


def test_a_nonlinear_one_follows_a_curve_that_pca_cannot() -> None:
    rng = np.random.default_rng(0)
    along = rng.uniform(0, 1.5 * np.pi, 300)
    curve = np.stack([np.cos(along), np.sin(along), along / 3], axis=1) @ rng.normal(size=(3, 8))
    curve += 0.02 * rng.normal(size=curve.shape)
    model = recae.Autoencoder(latent=1, hidden=(32,), epochs=80, lr=5e-3, batch_size=32).fit(curve)
    assert share_of_variance(curve, 1) < 0.75
    assert model.explained_variance(curve) > 0.85


def test_scores_are_errors_in_the_units_of_the_examples(kind: str, X: np.ndarray) -> None:
    model = small(kind).fit(X)
    squares = np.square(model.reconstruct(X) - X)
    assert np.allclose(model.reconstruction_error(X), squares.mean(1), rtol=1e-4)
    if model.loss == "squared":
        assert np.allclose(model.score_samples(X), -squares.sum(1), rtol=1e-4)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean(), rel=1e-5)
    explained = 1 - squares.mean() / X.var(axis=0).mean()
    assert model.explained_variance(X) == pytest.approx(explained, rel=1e-4)


@pytest.mark.parametrize("sparse", [False, True])
def test_likelihoods_are_those_of_torch(sparse: bool, counts: Any) -> None:
    dense = counts.toarray()
    given = counts if sparse else dense
    model = small("autoencoder", loss="multinomial", epochs=20, lr=0.01).fit(given)
    shares = model.inverse_transform(model.transform(given))
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert np.allclose(model.score_samples(given), (dense * np.log(shares)).sum(1), atol=1e-3)
    assert np.allclose(model.reconstruct(given), shares * dense.sum(1, keepdims=True), atol=1e-5)
    errors = np.square(model.reconstruct(given) - dense).mean(1)
    assert np.allclose(model.reconstruction_error(given), errors, atol=1e-5)

    ones = (given > 0) * 1.0
    model = small("autoencoder", loss="logistic", epochs=20, lr=0.01).fit(ones)
    chances = torch.from_numpy(model.reconstruct(ones)).double()
    target = torch.from_numpy((dense > 0) * 1.0)
    entropy = F.binary_cross_entropy(chances, target, reduction="none").sum(1)
    assert np.allclose(model.score_samples(ones), -entropy, atol=1e-3)
    assert np.allclose(model.inverse_transform(model.transform(ones)), chances, atol=1e-6)


def test_the_first_thing_known_is_the_mean_of_each_feature(counts: Any) -> None:
    tiny = {"lr": 1e-12, "epochs": 1}
    ones = (counts > 0).astype(float)
    means = np.asarray(ones.mean(0)).ravel()
    at_zero = np.zeros((1, 3))
    logistic = small("linear", loss="logistic", **tiny).fit(ones)
    assert np.allclose(logistic.inverse_transform(at_zero)[0], means, atol=1e-4)
    shares = np.asarray(counts.sum(0)).ravel() / counts.sum()
    multinomial = small("linear", loss="multinomial", **tiny).fit(counts)
    assert np.allclose(multinomial.inverse_transform(at_zero)[0], shares, atol=1e-5)
    squared = small("linear", loss="squared", **tiny).fit(counts)
    assert np.allclose(squared.inverse_transform(at_zero)[0], counts.toarray().mean(0), atol=1e-5)


def test_scaling_is_the_mean_and_one_number_for_all(X: np.ndarray) -> None:
    model = small("linear").fit(X)
    assert model.scaling_.scale == pytest.approx(np.sqrt(X.var(axis=0).mean()))
    assert np.allclose(model.scaling_.centre, X.mean(0))
    far = X + np.array([1e8] + [0] * 8)  # float64 until the mean is off
    again = small("linear").fit(far)
    assert np.allclose(again.transform(far), model.transform(X), atol=1e-5)
