"""t-SNE, PCA and the measures against their formulas and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from recae.maps import quality, repulsion, trustworthiness, tsne
from recae.maps.neighbours import nearest
from recae.maps.pca import pca
from recae.maps.tsne import affinities, attraction, divergence


def exact(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y_i - y_j, (n, n, 2), and q_ij, written out."""
    apart = points[:, None] - points[None]
    q = 1 / (1 + (apart**2).sum(axis=2))
    np.fill_diagonal(q, 0)
    return apart, q


@pytest.mark.parametrize("scale", [1e-4, 1.0, 20.0])
@pytest.mark.parametrize("way", ["_summed", "_interpolated"])
def test_repulsion_is_the_sum_over_all_pairs(way: str, scale: float) -> None:
    points = np.random.default_rng(0).normal(scale=scale, size=(300, 2))
    apart, q = exact(points)
    wanted = (apart * (q**2)[:, :, None]).sum(axis=1) / q.sum()
    found, total = getattr(repulsion, way)(points)
    assert total == pytest.approx(q.sum(), rel=0.02)
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error < (1e-9 if way == "_summed" else 0.1)


def test_the_gradient_is_that_of_the_divergence(codes: np.ndarray) -> None:
    pairs = affinities(*nearest(codes, 59))  # all pairs: the divergence leaves none out
    points = np.random.default_rng(0).normal(size=(60, 2))
    gradient = 4 * (attraction(pairs, points) - repulsion.repulsion(points)[0])
    for at in ((0, 0), (31, 1)):
        step = np.zeros_like(points)
        step[at] = 1e-5
        slope = (divergence(pairs, points + step) - divergence(pairs, points - step)) / 2e-5
        assert gradient[at] == pytest.approx(slope, rel=1e-4)


def test_affinities_have_the_perplexity() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 5))
    near, apart = nearest(vectors, 90)
    pairs = affinities(near, apart)
    assert pairs.sum() == pytest.approx(1) and abs(pairs - pairs.T).max() < 1e-15
    # One row by hand: the entropy of exp(-b d^2) is log 30 for the b that bisection finds.
    row, shifted = 7, apart[7] - apart[7, 0]
    low, high = 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        p = np.exp(-middle * shifted)
        p /= p.sum()
        low, high = (middle, high) if -(p * np.log(p)).sum() > np.log(30) else (low, middle)
    only = [j for j in near[row] if row not in near[j]]  # p_ij = p_j|i / 2n there
    wanted = {j: p[k] / 400 for k, j in enumerate(near[row])}
    assert only
    for j in only:
        assert pairs[row, j] == pytest.approx(wanted[j], rel=1e-6)


def test_as_good_as_that_of_scikit_learn(codes: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    vectors = np.repeat(rng.normal(size=(35, 12)) * 3, 20, axis=0) + rng.normal(size=(700, 12))
    theirs = TSNE(init="pca", random_state=0, max_iter=500, n_jobs=1).fit_transform(vectors)
    near, apart = nearest(vectors, 90)
    ours, _ = tsne(vectors, near, apart, seed=0)  # interpolated, as there are 700 points
    wanted = sklearn_trustworthiness(vectors, theirs, n_neighbors=10)
    assert trustworthiness(vectors, ours, 10) > wanted - 0.01
    pairs = affinities(near, apart)
    assert divergence(pairs, ours) < divergence(pairs, theirs.astype(np.float64)) * 1.05


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
    monkeypatch.setattr("recae.maps.neighbours.CELLS", 60 * 7)  # seven rows at a time
    parts = nearest(codes, 7), trustworthiness(codes, codes[:, :2], 5)
    assert np.array_equal(whole[0][0], parts[0][0]) and whole[1] == parts[1]
    assert np.allclose(whole[0][1], parts[0][1])
