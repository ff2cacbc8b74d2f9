"""t-SNE, PCA and the measures against their formulas and against scikit-learn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

import recae
from recae.apply.maps import quality, trustworthiness, tsne
from recae.apply.maps.neighbours import nearest
from recae.apply.maps.tsne import pca


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


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    codes = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(recae.ConfigError, match=r"recae\[map\]"):
        recae.apply.maps.map_codes(codes)
    assert recae.apply.maps.map_codes(codes, method="pca").method == "pca"


def test_trustworthiness_is_that_of_scikit_learn(
    codes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for positions in (codes[:, :2], rng.normal(size=(60, 2)), codes[:, :2] + rng.normal(size=2)):
        for k in (1, 5, 12):
            wanted = sklearn_trustworthiness(codes, positions, n_neighbors=k)
            assert trustworthiness(codes, positions, k) == pytest.approx(wanted, abs=1e-12)
    monkeypatch.setattr(quality, "SAMPLE", 30)
    sampled = trustworthiness(codes, codes[:, :2], 5)
    assert sampled == trustworthiness(codes, codes[:, :2], 5)
    whole = sklearn_trustworthiness(codes, codes[:, :2], n_neighbors=5)
    assert sampled == pytest.approx(whole, abs=0.05) and sampled != whole


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
    found = quality.coherence(labels, positions, 7)
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
    near, apart = nearest(codes, 4)
    for i in range(len(codes)):
        distances = ((codes - codes[i]) ** 2).sum(axis=1)
        distances[i] = np.inf
        assert near[i].tolist() == np.argsort(distances)[:4].tolist()
        assert np.allclose(apart[i], np.sort(distances)[:4])


def test_blocks_change_nothing(codes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nearest(codes, 7), trustworthiness(codes, codes[:, :2], 5)
    monkeypatch.setattr("recae.apply.maps.neighbours.CELLS", 60 * 7)  # seven rows at a time
    parts = nearest(codes, 7), trustworthiness(codes, codes[:, :2], 5)
    assert np.array_equal(whole[0][0], parts[0][0]) and whole[1] == parts[1]
    assert np.allclose(whole[0][1], parts[0][1])
