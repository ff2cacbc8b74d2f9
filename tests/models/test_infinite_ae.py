"""Infinity-AE against networks that are merely wide, and a direct solve."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.models.linear import infinite_ae

RNG = np.random.default_rng(3)
X = (RNG.random((40, 12)) < 0.3) * 1.0
NEW = (RNG.random((6, 12)) < 0.4) * 1.0


def finite_kernel(left: np.ndarray, right: np.ndarray, width: int) -> np.ndarray:
    """Products of the gradients of one output of a network in the parameterisation of Jacot et al.:
    f(x) = sqrt(v / width) W2 relu(sqrt(v / d) W1 x + sqrt(b) b1) + sqrt(b) b2, all drawn N(0, 1).
    """
    generator = torch.Generator().manual_seed(5)
    d, v, b = left.shape[1], 2.0, 0.1**2
    drawn = [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((width, d), (width,), (1, width), (1,))
    ]

    def gradient(x: np.ndarray) -> torch.Tensor:
        w1, b1, w2, b2 = drawn
        hidden = torch.relu((v / d) ** 0.5 * w1 @ torch.from_numpy(x) + b**0.5 * b1)
        output = (v / width) ** 0.5 * w2 @ hidden + b**0.5 * b2
        return torch.cat([g.flatten() for g in torch.autograd.grad(output.sum(), drawn)])

    lefts, rights = (torch.stack([gradient(x) for x in some]) for some in (left, right))
    return (lefts @ rights.T).numpy()


def test_the_kernel_is_that_of_a_wide_network() -> None:
    model = recae.InfiniteAE().fit(sp.csr_matrix(X))
    found = model._kernel(sp.csr_matrix(NEW))[:, :9]
    # The error falls with the root of the width: some 0.3 % of a value here.
    np.testing.assert_allclose(found, finite_kernel(NEW, X[:9], 200_000), rtol=0.02)


@pytest.mark.parametrize("l2", [0.01, 1.0, 20.0])
def test_scores_are_a_kernel_regression(l2: float) -> None:
    model = recae.InfiniteAE(l2=l2).fit(sp.csr_matrix(X))
    kernel, asked = model._kernel(sp.csr_matrix(X)), model._kernel(sp.csr_matrix(NEW))
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    ridge = l2 * np.trace(kernel) / len(X) * np.eye(len(X))
    expected = asked @ np.linalg.solve(kernel + ridge, X)
    np.testing.assert_allclose(model.score(sp.csr_matrix(NEW)), expected, atol=2e-5)


def test_weights_enter_where_they_are_asked_for() -> None:
    heavy = sp.csr_matrix(X * RNG.integers(1, 6, X.shape))
    ones, both = (recae.InfiniteAE(weights=w).fit(heavy).score(heavy) for w in ("neither", "both"))
    assert np.array_equal(ones, recae.InfiniteAE().fit(sp.csr_matrix(X)).score(sp.csr_matrix(X)))
    assert not np.allclose(ones, both)


def test_too_many_users_are_refused_before_anything_is_made(monkeypatch) -> None:
    monkeypatch.setattr(infinite_ae, "total_memory", lambda: 8 * 39**2 / infinite_ae.SPARE)
    with pytest.raises(recae.errors.CapacityError, match="40 users .* SVDAE"):
        recae.InfiniteAE().fit(sp.csr_matrix(X))
