"""The inverse of a large symmetric matrix against the definition and against LAPACK's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recae
from recae.models.linear import _solve

RNG = np.random.default_rng(8)


class Shown:
    """A progress bar that counts."""

    count = 0

    def update(self, steps: int = 1) -> None:
        self.count += steps


def system(n: int, l2: float) -> np.ndarray:
    """X'X + l2 I of 3 n users with a long tail of items, float64."""
    popularity = 1 / np.arange(1, n + 1)
    x = (RNG.random((3 * n, n)) < 0.6 * popularity + 0.01) * 1.0
    return x.T @ x + l2 * np.eye(n)


@pytest.fixture(params=["numpy", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the libraries that multiply blocks, whatever the machine would take."""
    onednn = request.param == "onednn"
    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch comes without oneDNN")
    monkeypatch.setattr(_solve, "by_onednn", lambda dtype: onednn and dtype == torch.float32)
    return request.param


@pytest.mark.parametrize("n", [1, 31, 32, 33, 300])
@pytest.mark.parametrize(("dtype", "most"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_it_is_minus_the_inverse(n, dtype, most, library, monkeypatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 32)
    matrix, shown = system(n, 5.0), Shown()
    found = matrix.astype(dtype)
    _solve.negative_inverse_(found, 5.0, shown)
    assert shown.count == _solve.blocks(n)
    residual = found.astype(np.float64) @ matrix + np.eye(n)
    assert np.abs(residual).max() < most
    np.testing.assert_allclose(found, found.T, atol=most * 1e-2)
    # No worse than the general inverse of LAPACK in the same float, but for a small factor.
    exact = np.linalg.inv(matrix)
    lapack = np.abs(np.linalg.inv(matrix.astype(dtype)) - exact).max()
    assert np.abs(-found - exact).max() < 4 * lapack + np.finfo(dtype).eps


def test_flags_of_torch_do_not_lower_its_precision(library) -> None:
    left, right = (torch.from_numpy(RNG.random((64, 64), np.float32)) for _ in range(2))
    exact = left.double() @ right.double().T
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        operands = _solve.operand(left), _solve.operand(right)
        found = _solve.plain(_solve.product(*operands))
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_operands_are_copies(library) -> None:
    block = torch.ones(3, 1)
    operand = _solve.operand(block)
    block.fill_(7)
    assert _solve.plain(operand).tolist() == [[1.0]] * 3


def test_what_is_not_positive_definite_is_refused_in_any_block(library, monkeypatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 4)
    matrix = np.eye(12, dtype=np.float32)
    matrix[9, 2] = matrix[2, 9] = 2
    with pytest.raises(recae.ConfigError, match="positive definite .*l2=0.5: raise l2"):
        _solve.negative_inverse_(matrix, 0.5, Shown())
