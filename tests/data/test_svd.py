"""Truncated decompositions against dense ones and ARPACK, in memory and from disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

from recae.data import scaled, svd
from recae.data.scaled import Rows
from recae.data.svd import Products, subspace_svd, truncated_svd


def as_is(part: Any) -> Any:
    return part


def flat(shape: tuple[int, int], density: float = 0.05) -> Any:
    """Noise: its singular values lie close together, which is the hard case."""
    return sp.random(*shape, density, "csr", random_state=np.random.default_rng(3))


def planted(s: np.ndarray, shape: tuple[int, int]) -> Any:
    """A matrix of these singular values."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.standard_normal((n, len(s))))[0] for n in shape)
    return sp.csr_matrix((u * s) @ v.T)


@pytest.mark.parametrize("shape", [(700, 300), (300, 700)])
@pytest.mark.parametrize("cells", [svd.DOUBLE_CELLS, 0])
def test_noise_is_decomposed_as_by_arpack(
    shape: tuple[int, int], cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svd, "DOUBLE_CELLS", cells)
    matrix = flat(shape)
    u, s, v = truncated_svd(Rows(matrix, as_is), 40)
    _, exact, vt = scipy.sparse.linalg.svds(matrix, k=40)
    error = 1e-7 if cells else 2e-3
    np.testing.assert_allclose(s, exact[::-1], rtol=error)
    np.testing.assert_allclose(u.T @ u, np.eye(40), atol=1e-6 if cells else 1e-3)
    np.testing.assert_allclose(v.T @ v, np.eye(40), atol=1e-6 if cells else 1e-4)
    overlap = np.linalg.norm(vt @ v) ** 2 / 40  # 1 if both span the same space
    assert overlap > (1 - 1e-6 if cells else 0.98)


@pytest.mark.parametrize("fall", [0.9, 0.5, 0.1])
def test_a_planted_spectrum_is_found(fall: float) -> None:
    s = 1000 * fall ** np.arange(30.0)
    u, found, v = truncated_svd(Rows(planted(s, (200, 150)), as_is), 12)
    kept = s[:12] > 1e-7 * s[0]
    np.testing.assert_allclose(found[kept], s[:12][kept], rtol=1e-5)
    kept = np.arange(30) < 12
    best = planted(s * kept, (200, 150)).toarray()
    np.testing.assert_allclose((u * found) @ v.T, best, atol=1e-4)


def test_a_steep_spectrum_in_single_precision() -> None:
    matrix = planted(100 * 0.8 ** np.arange(60.0), (400, 300)).toarray()
    dense = torch.from_numpy(matrix).float()
    start = torch.from_numpy(np.random.default_rng(1).standard_normal((300, 45))).float()
    left, s, v = subspace_svd(
        lambda b: dense @ b, lambda b: dense.T @ (dense @ b), start, 25, progress=False
    )
    wanted = 100 * 0.8 ** np.arange(60.0) * (np.arange(60) < 25)
    np.testing.assert_allclose(s.numpy(), wanted[:25], rtol=1e-3)
    best = planted(wanted, (400, 300)).toarray()
    np.testing.assert_allclose((left @ v.T).numpy(), best, atol=1e-2)


@pytest.mark.parametrize("cells", [svd.DOUBLE_CELLS, 0])
@pytest.mark.parametrize("shape", [(150, 120), (120, 150)])
@pytest.mark.parametrize("k", [60, 110])
def test_vectors_of_a_steep_spectrum_are_orthonormal(
    cells: int, shape: tuple[int, int], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svd, "DOUBLE_CELLS", cells)
    for exact in (0.5 ** np.arange(100.0), np.repeat([1, 1e-3], 50), 1 / np.arange(1.0, 101)):
        u, s, v = truncated_svd(Rows(planted(exact, shape), as_is), k)
        sure = int((exact[:k] > (1e-7 if cells else 1e-3)).sum())
        np.testing.assert_allclose(s[:sure], exact[:sure], rtol=1e-5 if cells else 1e-3)
        assert (s > 0).sum() <= 100  # its rank: rounding errors are not taken for directions
        for vectors in (u[:, s > 0], v[:, s > 0]):
            products = vectors.T @ vectors
            np.testing.assert_allclose(
                products, np.eye(len(products)), atol=1e-8 if cells else 1e-3
            )


def test_directions_beyond_the_rank_are_zeros() -> None:
    x = sp.csr_matrix(np.tile((np.arange(12).reshape(3, 4) % 5).astype(float), (9, 1)))
    u, s, v = truncated_svd(Rows(x, as_is), 7)
    exact = np.linalg.svd(x.toarray(), compute_uv=False)
    assert u.shape == (27, 7) and s.shape == (7,) and v.shape == (4, 7)
    np.testing.assert_allclose(s[:3], exact[:3])
    assert not s[3:].any() and not u[:, 3:].any()
    for rows in (x, sp.csr_matrix(x[:3].T)):
        u, s, v = truncated_svd(Rows(rows, as_is), 4)
        assert not u[:, s == 0].any() and not v[:, s == 0].any()
    nothing = truncated_svd(Rows(sp.csr_matrix((9, 4)), as_is), 2)
    assert not nothing[1].any() and np.isfinite(nothing[2]).all()


def test_few_products_give_a_rough_result_of_the_same_kind() -> None:
    matrix = flat((700, 300))
    counted = []
    products = Products.of(Rows(matrix, as_is), torch.float64)

    def gram(basis: torch.Tensor) -> torch.Tensor:
        counted.append(1)
        return products.transposed(products.image(basis))

    start = torch.from_numpy(np.random.default_rng(1).standard_normal((300, 60)))
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)[:40]
    errors = []
    for most in (4, 8, 16):
        counted.clear()
        s = subspace_svd(products.image, gram, start, 40, most=most, progress=False)[1].numpy()
        assert len(counted) <= most
        assert (s <= exact * (1 + 1e-9)).all()
        errors.append(1 - (s / exact).min())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02


@pytest.mark.parametrize("shape", [(90, 7), (7, 90)])
def test_products_of_blocks(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaled, "ENTRIES", 20)
    matrix = sp.random(*shape, 0.4, "csr", random_state=1)
    kept = Products.of(Rows(matrix, as_is), torch.float64)
    assert kept.kept is not None and len(kept.kept) > 5
    read = Products(kept.rows, kept.dtype, kept.device)  # as of a matrix on disk
    rng = np.random.default_rng(2)
    some, others = (rng.standard_normal((n, 3)) for n in shape[::-1])
    for products in (kept, read):
        found = products.image(torch.from_numpy(some)).numpy()
        np.testing.assert_allclose(found, matrix @ some, atol=1e-12)
        found = products.transposed(torch.from_numpy(others)).numpy()
        np.testing.assert_allclose(found, matrix.T @ others, atol=1e-12)
    one, two = (products.transposed(torch.from_numpy(others)) for products in (kept, read))
    assert torch.equal(one, two)
