"""References for EASE's inverse: the rate of matrix products, and exact weights of some items."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.errors import RecaeError
from recae.models.linear import _solve

CHECKED = 6
"""Items whose weights are compared with conjugate gradients."""


def product_rate(size: int = 1024, tries: int = 8) -> float:
    """GFLOP/s of float32 products of blocks: the best of torch, numpy and oneDNN."""
    left, right = (torch.rand(size, size) for _ in range(2))
    operands = _solve.operand(left), _solve.operand(right)
    best = float("inf")
    for run in (
        lambda: left @ right,
        lambda: left.numpy() @ right.numpy(),
        lambda: _solve.product(*operands),
    ):
        for _ in range(tries):
            started = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def exact(x: Any, l2: float, items: np.ndarray) -> np.ndarray:
    """The weights towards some items, (n_items, items), by conjugate gradients in float64."""
    x = x.astype(np.float64)
    shape = (x.shape[1],) * 2
    system = sp.linalg.LinearOperator(
        shape, matvec=lambda v: x.T @ (x @ v) + l2 * v, dtype=np.float64
    )
    weights = np.empty((x.shape[1], len(items)))
    for place, item in enumerate(items):
        unit = np.zeros(x.shape[1])
        unit[item] = 1
        column, failed = sp.linalg.cg(system, unit, rtol=1e-11, maxiter=20_000)
        if failed:
            raise RecaeError(f"conjugate gradients did not converge for item {item}")
        weights[:, place] = -column / column[item]
        weights[item, place] = 0
    return weights


def checked(n_items: int) -> np.ndarray:
    """Items from the head of the catalogue to its tail."""
    return np.unique(np.linspace(0, n_items - 1, CHECKED).astype(np.int64))
