"""The variational kind: likelihoods with a closed form, draws, and the variance that is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

import recae
from recae.nn import Decoder, LinearHead, Mixture
from recae.rng import Stream, torch_generator

from .conftest import small

FEATURES, LATENT, NOISE = 5, 2, 0.3


def linear_gaussian(X: np.ndarray, wrong: float = 0.0) -> tuple[Any, np.ndarray]:
    """Probabilistic PCA with orthogonal columns (Tipping & Bishop 1999) put into a fitted model.

    x = W z + b + noise of variance s^2, so that p(z | x) = N(M^-1 W^T (x - b), s^2 M^-1) with M =
    W^T W + s^2 I, diagonal here, and log p(x) = log N(x; b, W W^T + s^2 I). wrong: nothing for the
    exact posterior, else what is added to its means. Returns the model and log p(x).
    """
    model = recae.VariationalAutoencoder(latent=LATENT, hidden=(3,), epochs=1).fit(X)
    rng = np.random.default_rng(5)
    W = np.linalg.qr(rng.normal(size=(FEATURES, LATENT)))[0] * np.array([1.5, 0.7])
    b, s2 = rng.normal(size=FEATURES), NOISE
    M = np.diag(W.T @ W) + s2
    net: Any = model.network_
    net.encoder = nn.Identity()
    head = LinearHead(LATENT, FEATURES)
    net.decoder = Decoder(nn.Identity(), head)
    mean, log_variance = net.code.mu, net.code.log_variance
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(W))
        head.bias.copy_(torch.from_numpy(b))
        mean.weight = nn.Parameter(torch.from_numpy(W.T / M[:, None]).float())
        mean.bias.copy_(torch.from_numpy(-(W.T @ b) / M + wrong))
        log_variance.weight = nn.Parameter(torch.zeros(LATENT, FEATURES))
        log_variance.bias.copy_(torch.from_numpy(np.log(s2 / M)))
    model.noise_variance_ = s2
    # In the units of the examples everything is scaled and shifted.
    scale, centre = model.scaling_.scale, model.scaling_.centre.numpy()
    covariance = (W @ W.T + s2 * np.eye(FEATURES)) * scale**2
    exact = multivariate_normal(b * scale + centre, covariance).logpdf(X)
    return model, exact


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return 3 + 2 * np.random.default_rng(0).normal(size=(70, FEATURES))


def test_with_the_exact_posterior_one_draw_gives_the_likelihood(rows: np.ndarray) -> None:
    model, exact = linear_gaussian(rows)
    for samples in (1, 7):
        found = model.log_likelihood(rows, samples=samples)
        assert np.allclose(found, exact, atol=2e-4)
    assert np.allclose(model.score_samples(rows), exact, atol=2e-4)


def test_with_another_posterior_it_is_a_bound_that_rises_with_the_draws(rows: np.ndarray) -> None:
    model, exact = linear_gaussian(rows, wrong=0.4)
    means = []
    for samples in (1, 4, 32, 256):
        found = [model.log_likelihood(rows, samples=samples, seed=s).mean() for s in range(8)]
        means.append(np.mean(found))
    gaps = exact.mean() - np.array(means)
    assert (np.diff(gaps) < 0).all() and (gaps > -0.01).all()
    assert gaps[0] > 0.1 > 3 * gaps[-1]


def test_the_mean_over_rows_averages_the_noise_out() -> None:
    X = np.random.default_rng(1).normal(size=(300, FEATURES))
    model, exact = linear_gaussian(X, wrong=0.4)
    means = {}
    for samples in (1, 4, 16):
        found = np.array([model.log_likelihood(X, samples=samples, seed=s) for s in range(20)])
        means[samples] = found.mean(axis=1)
        each = found.std(axis=0).mean()  # of one row between seeds
        assert means[samples].std() < 2 * each / np.sqrt(300)
    assert means[1].max() < means[4].min() < means[4].max() < means[16].min() < exact.mean()
    # Single draws are normal: their mean is the evidence bound, log p(x) - KL(q || p(z | x)).
    M = np.exp(-model.network_.code.log_variance.bias.detach().numpy())  # 1 / variance
    assert means[1].mean() == pytest.approx(exact.mean() - 0.5 * (0.4**2 * M).sum(), abs=0.01)


def test_the_noise_of_a_row_is_its_own(rows: np.ndarray) -> None:
    model, _ = linear_gaussian(rows, wrong=0.4)
    found = model.log_likelihood(rows, samples=2, seed=3)
    assert np.allclose(model.log_likelihood(rows[40:41], samples=2, seed=3), found[40], atol=1e-5)
    assert np.allclose(model.log_likelihood(rows[::-1], samples=2, seed=3), found[::-1], atol=1e-5)
    near = rows * (1 + 1e-7)
    assert np.allclose(model.log_likelihood(near, samples=2, seed=3), found, atol=1e-3)
    shifts = model.log_likelihood(rows, samples=2, seed=4) - found
    assert shifts.std() > 0.1


def test_the_noise_of_sparse_rows_is_that_of_dense_ones(counts: Any) -> None:
    model = small("variational", loss="multinomial").fit(counts)
    dense = model.log_likelihood(counts.toarray(), samples=3)
    assert np.allclose(model.log_likelihood(counts, samples=3), dense, atol=1e-4)


def test_the_evidence_bound_of_validation_is_that_of_the_formula(rows: np.ndarray) -> None:
    """With the exact posterior any draw gives -log p(x), at the variance that suits the draws."""
    model, _ = linear_gaussian(rows)
    scaled = model.scaling_.apply(recae.transformers.examples.read_examples(rows, "test"))
    losses = model._losses(model.network_, scaled, 0)
    x, net = scaled.rows, model.network_
    with torch.no_grad():
        mu, log_variance = net.code.posterior(net.encoder(x))
        noise = torch.randn(4, LATENT, generator=torch_generator(0, Stream.LIKELIHOOD))
        squares = kl = 0.0
        for eps in noise:
            z = mu + eps * (0.5 * log_variance).exp()
            squares = squares + (net.decoder(z, None).dense() - x).square().sum(1) / 4
            q = torch.distributions.Normal(mu, (0.5 * log_variance).exp()).log_prob(z).sum(1)
            p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
            kl = kl + (q - p) / 4
    variance = squares.mean() / FEATURES
    expected = 0.5 * squares / variance + FEATURES / 2 * (2 * torch.pi * variance).log() + kl
    assert np.allclose(losses, expected, rtol=1e-4)


def test_a_density_moves_with_the_units(rows: np.ndarray) -> None:
    model = small("variational").fit(rows, seed=1)
    larger = small("variational").fit(rows * 10 + 7, seed=1)
    shift = FEATURES * np.log(10)
    found = larger.log_likelihood(rows * 10 + 7)
    assert np.allclose(found, model.log_likelihood(rows) - shift, atol=1e-3)


def test_the_variance_is_that_of_the_errors_of_drawn_codes() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 10)) + 0.5 * rng.normal(size=(800, 10))
    model = recae.VariationalAutoencoder(latent=4, hidden=(32,), epochs=40, lr=3e-3).fit(X)
    noise = model.noise_variance_ * model.scaling_.scale**2
    assert noise == pytest.approx(0.25, rel=0.15)  # what was planted
    scaled = (X - X.mean(0)) / model.scaling_.scale
    with torch.no_grad():
        net: Any = model.network_
        x = torch.from_numpy(scaled).float()
        mu, log_variance = net.code.posterior(net.encoder(x))
        z = (
            mu
            + torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))
            * (0.5 * log_variance).exp()
        )
        error = float((net.decoder(z, None).dense() - x).square().mean())
    assert model.noise_variance_ == pytest.approx(error, rel=0.03)
    likelihood = model.log_likelihood(X, samples=64).mean()
    exact = multivariate_normal(X.mean(0), np.cov(X.T)).logpdf(X).mean()
    assert exact - 1.0 < likelihood < exact + 0.1


@pytest.mark.parametrize(("prior", "near"), [("standard", 0.3), ("mixture", 0.9), ("vamp", 0.9)])
def test_samples_are_like_the_data(prior: str, near: float) -> None:
    """Two clusters: samples have their mean and spread; what is learnt lies near one of them."""
    rng = np.random.default_rng(2)
    centres = np.array([[4.0, 0, 0, 1], [-4, 2, 0, 1]])
    X = centres[rng.integers(2, size=400)] + 0.3 * rng.normal(size=(400, 4))
    settings: dict[str, Any] = {"latent": 2, "hidden": (32,), "epochs": 40, "lr": 5e-3}
    model = recae.VariationalAutoencoder(prior=prior, components=20, batch_size=50, **settings)
    drawn = model.fit(X).sample(500, seed=1)
    assert np.allclose(drawn.mean(0), X.mean(0), atol=1.5)
    assert np.allclose(drawn.std(0)[:2], X.std(0)[:2], rtol=0.3)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).min(1)
    assert (nearest < 1.5).mean() > near
    assert np.array_equal(model.sample(5, seed=3), model.sample(5, seed=3))
    assert not np.array_equal(model.sample(5, seed=3), model.sample(5, seed=4))


def test_mixtures_are_learnt_and_drawn_from(rows: np.ndarray) -> None:
    model = small("mixture", epochs=2, lr=0.05).fit(rows)
    prior = model.network_.code.prior
    assert isinstance(prior, Mixture)
    assert not torch.allclose(prior.log_shares, prior.log_shares[0])


def test_a_way_leads_from_one_reconstruction_to_the_other(rows: np.ndarray) -> None:
    model = small("variational").fit(rows)
    way = model.interpolate(rows[0], rows[1:2], 5)
    ends = model.reconstruct(rows[:2])
    assert np.allclose(way[[0, -1]], ends, atol=1e-5)
    codes = model.transform(rows[:2])
    assert np.allclose(way[2], model.inverse_transform(codes.mean(0, keepdims=True))[0], atol=1e-5)
    for a, steps, words in ((rows, 5, "one has"), (rows[0], 1, "^steps "), (3, 5, "shape")):
        with pytest.raises((recae.DataError, recae.ConfigError), match=words):
            model.interpolate(a, rows[1], steps)
    with pytest.raises(recae.ConfigError, match="^n .*>= 1"):
        model.sample(0)
    with pytest.raises(recae.ConfigError, match="^samples .*>= 1"):
        model.log_likelihood(rows, samples=0)


def test_a_way_between_sparse_examples_and_images(counts: Any) -> None:
    model = small("variational", loss="multinomial").fit(counts)
    assert np.allclose(model.interpolate(counts[0], counts[1], 3).sum(1), 1, atol=1e-5)
    images = np.random.default_rng(0).uniform(size=(20, 4, 6))
    model = small("variational", loss="logistic", channels=(2,)).fit(images)
    assert model.interpolate(images[0], images[1], 3).shape == (3, 4, 6)
    assert model.sample(2).shape == (2, 4, 6)


@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")  # the variance still falls
def test_beta_and_free_bits_set_what_the_code_may_cost() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(300, 8))

    def nats(**settings: Any) -> np.ndarray:
        """KL of each dimension, on average."""
        model = small("variational", epochs=40, lr=5e-3, batch_size=50, **settings).fit(X)
        with torch.no_grad():
            net: Any = model.network_
            x = model.scaling_.apply(recae.transformers.examples.read_examples(X, "test")).rows
            mu, log_variance = net.code.posterior(net.encoder(x))
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance)
        return kl.mean(0).numpy()

    plain, strict = nats(), nats(beta=20.0)
    assert strict.sum() < 0.6 * plain.sum()
    assert strict.min() < 0.1  # two dimensions would do
    assert nats(beta=20.0, free_bits=0.5).min() > 0.25 > 2 * strict.min()


def test_annealing_begins_without_a_price(rows: np.ndarray) -> None:
    objective = small("variational", beta=2.0, anneal=0.5)._objective(100)
    weight: Any = objective.weights["kl"]
    assert [weight(None, step) for step in (0, 25, 50, 99)] == [0, 1, 2, 2]
    assert small("variational", beta=2.0)._objective(100).weights["kl"] == 2.0


def test_binarised_examples_are_drawn_anew_and_measured_as_they_are(counts: Any) -> None:
    grey = np.random.default_rng(4).uniform(size=(60, 9))
    settings: dict[str, Any] = {"loss": "logistic", "binarise": True}
    model = small("variational", **settings).fit(grey, seed=1)
    assert np.array_equal(
        small("variational", **settings).fit(grey, seed=1).sample(3), model.sample(3)
    )
    assert model.epochs_[0].loss != small("variational", loss="logistic").fit(grey).epochs_[0].loss
    ones = (grey > 0.5) * 1.0  # what is sure stays as it is
    plain = small("variational", loss="logistic").fit(ones, seed=1)
    assert np.array_equal(
        small("variational", **settings).fit(ones, seed=1).sample(3), plain.sample(3)
    )
    with pytest.raises(recae.ConfigError, match="binarise=True .*dense examples"):
        small("variational", **settings).fit(counts > 0)
