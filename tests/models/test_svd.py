"""PureSVD and SVD-AE against dense singular vectors and pseudo-inverses written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae

RNG = np.random.default_rng(8)
X = (RNG.random((50, 24)) < 0.3) * RNG.integers(1, 5, (50, 24)).astype(float)
ONES = (X > 0) * 1.0
NEW = (RNG.random((7, 24)) < 0.2) * 1.0
MODELS = [recae.PureSVD, recae.SVDAE]


def normalised(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(x.sum(1))[:, None] / np.sqrt(x.sum(0))


@pytest.mark.parametrize("latent", [1, 5, 23, 24, 40])
@pytest.mark.parametrize("weights", ["neither", "both"])
def test_pure_svd_projects_onto_singular_vectors(latent: int, weights: str) -> None:
    x = X if weights == "both" else ONES
    _, _, vt = np.linalg.svd(x)
    new = 2 * NEW if weights == "both" else NEW
    expected = new @ vt[:latent].T @ vt[:latent]
    model = recae.PureSVD(latent=latent, weights=weights).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(model.score(sp.csr_matrix(new)), expected, atol=2e-5)


@pytest.mark.parametrize("latent", [1, 5, 23, 24, 40])
@pytest.mark.parametrize("weights", ["neither", "both"])
def test_svd_ae_is_the_truncated_pseudo_inverse(latent: int, weights: str) -> None:
    x = X if weights == "both" else ONES
    u, s, vt = np.linalg.svd(normalised(x), full_matrices=False)
    b = vt[:latent].T @ np.diag(1 / s[:latent]) @ u[:, :latent].T @ x
    if latent >= 24:
        np.testing.assert_allclose(b, np.linalg.pinv(normalised(x)) @ x, atol=1e-9)
    model = recae.SVDAE(latent=latent, weights=weights).fit(sp.csr_matrix(X))
    new = 2 * NEW if weights == "both" else NEW
    expected = new / np.sqrt(x.sum(0)) @ b
    np.testing.assert_allclose(model.score(sp.csr_matrix(new)), expected, atol=2e-4)


@pytest.mark.parametrize("make", MODELS)
def test_a_rank_that_the_data_do_not_have_adds_nothing(make) -> None:
    # Three tastes, repeated: rank 3.
    x = sp.csr_matrix(np.tile(ONES[:3], (9, 1)))
    exact, more = (make(latent=n).fit(x).score(x) for n in (3, 20))
    np.testing.assert_allclose(more, exact, atol=1e-4)
    assert np.isfinite(more).all()


@pytest.mark.parametrize("make", MODELS)
def test_users_and_items_are_embedded_in_factors(make) -> None:
    model = make(latent=6).fit(sp.csr_matrix(ONES))
    history = sp.csr_matrix(NEW)
    product = model.embed_users(history) @ model.item_embeddings_.T
    np.testing.assert_allclose(product, model.score(history), atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_factors_in_float32_are_saved_and_loaded(make, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("recae.data.svd.DOUBLE_CELLS", 0)  # as of large data
    model = make(latent=4).fit(sp.csr_matrix(X))
    model.save(tmp_path / "model")
    new = sp.csr_matrix(NEW)
    np.testing.assert_array_equal(recae.load(tmp_path / "model").score(new), model.score(new))
