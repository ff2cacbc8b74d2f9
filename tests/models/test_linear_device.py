"""Closed forms on a device: the inverse there, and which device is chosen."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.models.linear import _solve

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
RNG = np.random.default_rng(6)
X = sp.csr_matrix((RNG.random((70, 19)) < 0.3) * 1.0)


def positive(n: int, dtype: torch.dtype) -> torch.Tensor:
    half = torch.from_numpy(RNG.standard_normal((n, n + 3)))
    return (half @ half.T + 0.5 * torch.eye(n)).to(dtype)


@pytest.mark.parametrize("n", [1, 2, 7, 60])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_cholesky_gives_the_inverse_in_the_same_memory(n, dtype, rtol) -> None:
    matrix = positive(n, dtype)
    expected = np.linalg.inv(matrix.numpy().astype(np.float64))
    found = _solve.cholesky_inverse(matrix, 1.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=rtol)
    assert found.data_ptr() == matrix.data_ptr() and found.is_contiguous()
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_not_positive_definite_is_refused(dtype) -> None:
    matrix = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=dtype)
    with pytest.raises(recae.ConfigError, match="positive definite .*l2=0.5: raise l2"):
        _solve.cholesky_inverse(matrix, 0.5)


@pytest.mark.parametrize(
    ("free", "precision", "n_users", "device", "over_users", "dtype"),
    [
        # 31,623 items: 8 GB in float64, 4 in float32; 15,811 users: 2 GB. Each is needed twice.
        (17, "auto", 40_000, "cuda", False, "float64"),
        (15, "auto", 40_000, "cuda", False, "float32"),
        (15, "float64", 40_000, "cpu", False, "float64"),
        (7, "auto", 40_000, "cpu", False, "float64"),
        (7, "float32", 40_000, "cpu", False, "float32"),
        (5, "auto", 15_811, "cuda", True, "float64"),
        (9, "float32", 15_811, "cuda", False, "float32"),
        (5, "float32", 15_811, "cuda", True, "float64"),
        (3, "float32", 15_811, "cpu", True, "float64"),
    ],
)
def test_what_fits_decides_the_device(
    free, precision, n_users, device, over_users, dtype, monkeypatch, recwarn
) -> None:
    monkeypatch.setattr(_solve, "total_memory", lambda: 100e9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda at: (free * 1e9 / _solve.SPARE, 99))
    warnings = []
    monkeypatch.setattr(_solve, "warn", warnings.append)
    plan, where = _solve.plan_solver("EASE", n_users, 31_623, 1.0, precision, CUDA)
    assert (where.type, plan.over_users, plan.dtype.name) == (device, over_users, dtype)
    if device == "cpu":
        (said,) = warnings
        assert re.match(rf"EASE .*CPU.* {free}\.0 GB ", said)
    elif dtype == "float32" and precision == "auto":
        (said,) = warnings
        assert re.search(r"float64 .*16\.0 GB .*cuda$", said)
    else:
        assert not warnings


def test_naming_the_cpu_changes_nothing() -> None:
    for make in (recae.EASE, recae.InfiniteAE):
        plain, named = (make(l2=2.0).fit(X, **at).score(X) for at in ({}, {"device": "cpu"}))
        np.testing.assert_array_equal(plain, named)
