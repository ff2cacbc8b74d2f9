"""t-SNE, PCA and the measures against their formulas and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from recae.apply.maps.layout import coherence, nearest, pca, trustworthiness, tsne


def test_tsne_keeps_more_neighbours_than_pca() -> None:
    rng = np.random.default_rng(3)
    vectors = np.repeat(rng.normal(size=(12, 12)) * 3, 20, axis=0) + rng.normal(size=(240, 12))
    places, divergence = tsne(vectors, seed=0)
    assert divergence > 0
    kept = [sklearn_trustworthiness(vectors, p, n_neighbors=10) for p in (places, pca(vectors)[0])]
    assert kept[0] > 0.95 > kept[1] - 0.02 and kept[0] > kept[1] + 0.02


def test_equal_vectors_are_drawn_too() -> None:
    places, _ = tsne(np.repeat(np.eye(3), 5, axis=0), seed=0)
    assert np.isfinite(places).all() and places.shape == (15, 2)


def test_trustworthiness_is_that_of_scikit_learn(codes: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for positions in (codes[:, :2], rng.normal(size=(60, 2)), codes[:, :2] + rng.normal(size=2)):
        for k in (1, 5, 12):
            wanted = sklearn_trustworthiness(codes, positions, n_neighbors=k)
            assert trustworthiness(codes, positions, k) == pytest.approx(wanted, abs=1e-12)
    sampled = trustworthiness(codes, codes[:, :2], 5, sample=30)
    assert sampled == trustworthiness(codes, codes[:, :2], 5, sample=30)
    exact = sklearn_trustworthiness(codes, codes[:, :2], n_neighbors=5)
    assert sampled == pytest.approx(exact, abs=0.05) and sampled != exact


def test_coherence_is_counted() -> None:
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(50, 2))
    labels = sp.csr_matrix((rng.random((50, 4)) < 0.3).astype(np.int64))
    dense = labels.toarray()
    known = [i for i in range(50) if dense[i].any()]
    shared, pairs = [], []
    for i in known:
        others = [j for j in known if j != i]
        pairs += [bool((dense[i] & dense[j]).any()) for j in others]
        others.sort(key=lambda j: ((positions[i] - positions[j]) ** 2).sum())
        shared += [bool((dense[i] & dense[j]).any()) for j in others[:7]]
    found = coherence(labels, positions, 7)
    assert found.share == pytest.approx(np.mean(shared))
    assert found.chance == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("shape", [(60, 6), (8, 30), (5, 1)])
def test_pca_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    positions, shares = pca(vectors)
    count = min(2, *shape)
    theirs = PCA(count)
    wanted = theirs.fit_transform(vectors)
    assert np.allclose(np.abs(positions[:, :count]), np.abs(wanted), atol=1e-8)
    assert np.allclose(shares[:count], theirs.explained_variance_ratio_)
    assert not positions[:, count:].any()
    assert np.allclose(pca(vectors[::-1])[0], positions[::-1])  # the sign depends on no order


def test_the_nearest_are_the_nearest(codes: np.ndarray) -> None:
    near = nearest(codes, 4)
    for i in range(len(codes)):
        distances = ((codes - codes[i]) ** 2).sum(axis=1)
        distances[i] = np.inf
        assert near[i].tolist() == np.argsort(distances)[:4].tolist()


def test_chunks_change_nothing(codes: np.ndarray) -> None:
    at_once = trustworthiness(codes, codes[:, :2], 5)
    with sklearn.config_context(working_memory=0.005):  # MiB: ten rows at a time
        assert trustworthiness(codes, codes[:, :2], 5) == at_once
