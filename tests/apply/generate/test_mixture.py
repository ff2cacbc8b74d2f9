"""Mixtures against scikit-learn, closed forms and planted clusters."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from recae.apply.generate.fitting import Mixture


def blobs(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 4.0], [0.0, 9.0, -4.0]])
    owner = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    mixed = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]])
    return centres, centres[owner] + rng.standard_normal((n, 3)) @ mixed


def log_density(mixture: Mixture, points: np.ndarray) -> np.ndarray:
    """By scikit-learn, from the same parameters."""
    theirs = GaussianMixture(len(mixture.shares))
    covariances = mixture.factors @ mixture.factors.transpose(0, 2, 1)
    theirs.weights_, theirs.means_, theirs.covariances_ = mixture.shares, mixture.means, covariances
    theirs.precisions_cholesky_ = np.linalg.inv(mixture.factors).transpose(0, 2, 1)
    found: np.ndarray = theirs.score_samples(points)
    return found


def test_covariances_are_drawn_towards_their_pool() -> None:
    _, points = blobs(60)
    found = Mixture.fit(points, 3, seed=0)
    floor = 1e-3 * points.var(axis=0).mean()
    theirs = GaussianMixture(3, reg_covar=floor, random_state=0).fit(points)
    own = theirs.predict_proba(points)
    sizes = own.sum(0)
    scatters = []
    for k in range(3):
        centred = points - own[:, k] @ points / sizes[k]
        scatters.append((own[:, k, None] * centred).T @ centred)
    pooled = sum(scatters) / len(points)
    for k in range(3):
        wanted = (scatters[k] + 3 * pooled) / (sizes[k] + 3) + floor * np.eye(3)
        at = int(((found.means - theirs.means_[k]) ** 2).sum(1).argmin())
        np.testing.assert_allclose(
            found.factors[at] @ found.factors[at].T, wanted, atol=0.05 * np.abs(wanted).max()
        )


def test_planted_clusters_are_found() -> None:
    centres, points = blobs()
    found = Mixture.fit(points, 3, seed=0)
    order = [int(((found.means - centre) ** 2).sum(1).argmin()) for centre in centres]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found.means[order], centres, atol=0.4)
    np.testing.assert_allclose(found.shares[order], [0.5, 0.3, 0.2], atol=0.07)
    best = GaussianMixture(3, n_init=3, random_state=0).fit(points).score(points)
    assert log_density(found, points).mean() > best - 0.05


def test_one_component_is_mean_and_covariance() -> None:
    _, points = blobs()
    found = Mixture.fit(points, 1, seed=0)
    np.testing.assert_allclose(found.means[0], points.mean(0))
    expected = np.cov(points.T, bias=True) + 1e-3 * points.var(0).mean() * np.eye(3)
    np.testing.assert_allclose(found.factors[0] @ found.factors[0].T, expected, rtol=1e-9)


def test_draws_have_the_moments_of_the_mixture() -> None:
    shares, means = np.array([0.25, 0.75]), np.array([[0.0, 4.0], [2.0, 0.0]])
    factors = np.array([np.eye(2), [[2.0, 0.0], [1.0, 1.0]]])
    drawn = Mixture(shares, means, factors).draw(40_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(0), shares @ means, atol=0.05)
    second = sum(
        s * (f @ f.T + np.outer(m, m)) for s, m, f in zip(shares, means, factors, strict=True)
    )
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), second, atol=0.15)


@pytest.mark.parametrize("points", [np.ones((5, 3)), np.eye(4)[[0, 1, 2, 3] * 3]])
def test_points_on_top_of_each_other_are_no_trouble(points: np.ndarray) -> None:
    found = Mixture.fit(points, 3, seed=0)
    drawn = found.draw(50, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    assert np.isfinite(log_density(found, points)).all()
