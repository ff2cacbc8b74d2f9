"""Large symmetric matrices: made from sparse data, and inverted in their own memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from recae.errors import ConfigError

BLOCK = 1024
"""Rows of a matrix handled at a time beside the matrix itself."""


def blocks(n: int) -> int:
    """How many blocks a matrix of n rows is inverted in."""
    return -(-n // BLOCK)


def gram_matrix(matrix: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """X'X, dense and C-contiguous, from sparse products of one block of columns at a time."""
    columns = matrix.tocsc().astype(dtype)
    gram = np.empty((matrix.shape[1],) * 2, dtype)
    for start in range(0, len(gram), BLOCK):
        block = columns[:, start : start + BLOCK].T @ columns  # (block, n_items) sparse
        gram[start : start + BLOCK] = block.toarray()
    return gram


def negative_inverse(gram: np.ndarray, l2: float, shown: Any, device: torch.device) -> None:
    """Replaces a symmetric positive definite matrix by minus its inverse, in its own memory.

    On the CPU by `_sweep`; elsewhere by Cholesky, in a copy of the matrix and one more. Raises
    ConfigError, which names l2, when the matrix is not positive definite.
    """
    if device.type == "cpu":
        _sweep(gram, l2, shown)
        return
    memory = torch.from_numpy(gram)
    memory.copy_(cholesky_inverse(memory.to(device), l2).neg_())
    shown.update(blocks(len(gram)))


def cholesky_inverse(matrix: Tensor, l2: float) -> Tensor:
    """The inverse of a symmetric positive definite matrix, (n, n), which is overwritten by it.

    On any device. A GPU takes the memory of a second such matrix meanwhile. Raises ConfigError.
    """
    factor = matrix.mT  # the same numbers, in the order of LAPACK, so that nothing is copied
    info = torch.zeros((), dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(factor, out=(factor, info))
    if info.item():
        raise _not_positive_definite(l2)
    return torch.cholesky_inverse(factor, out=factor).mT


def _sweep(gram: np.ndarray, l2: float, shown: Any) -> None:
    """The inversion on the CPU, in the memory of one matrix.

    Sweeps one block of rows after the other (Goodnight, "A Tutorial on the SWEEP Operator", The
    American Statistician 1979): with P = A_kk^-1 and the row R = A_k., sweeping block k turns
    A_ij into A_ij - R_i' P R_j, A_ki into P R_i, and A_kk into -P. It costs rows^3 operations,
    as Cholesky does, nearly all in products of blocks, and no second matrix. (The LAPACK that scipy
    ships crashed on 40,981 items.)
    """
    n = len(gram)
    buffer = np.empty(BLOCK * n, gram.dtype)
    for low in range(0, n, BLOCK):
        high = min(low + BLOCK, n)
        pivot = _inverse(gram[low:high, low:high], l2)
        row = np.zeros((high - low, n), gram.dtype)
        row[:, :low] = gram[:low, low:high].T
        row[:, high:] = gram[low:high, high:]
        scaled = pivot @ row
        for start in range(0, n, BLOCK):  # the upper triangle of blocks; the lower one is unused
            left, right = scaled[:, start : start + BLOCK].T, row[:, start:]
            product = buffer[: len(left) * (n - start)].reshape(len(left), n - start)
            np.matmul(left, right, out=product)
            # By torch, because numpy subtracts in one thread.
            torch.from_numpy(gram[start : start + BLOCK, start:]).sub_(torch.from_numpy(product))
        gram[:low, low:high] = scaled[:, :low].T
        gram[low:high, high:] = scaled[:, high:]
        gram[low:high, low:high] = -pivot
        shown.update()
    for start in range(0, n, BLOCK):
        stop = start + BLOCK
        gram[stop:, start:stop] = gram[start:stop, stop:].T


def _inverse(block: np.ndarray, l2: float) -> np.ndarray:
    """The inverse of one symmetric positive definite block, through Cholesky in float64."""
    try:
        factor = np.linalg.cholesky(block.astype(np.float64))
    except np.linalg.LinAlgError:
        raise _not_positive_definite(l2) from None
    half = scipy.linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
    return (half.T @ half).astype(block.dtype)


def _not_positive_definite(l2: float) -> ConfigError:
    return ConfigError(f"the matrix to be inverted is not positive definite at l2={l2}: raise l2")


def to_float32(matrix: np.ndarray) -> np.ndarray:
    """The matrix in float32, written over its own first half, the second half given back."""
    if matrix.dtype == np.float32:
        return matrix
    n = len(matrix)
    flat = matrix.reshape(-1)
    halves = flat.view(np.float32)[: n * n].reshape(n, n)
    for start in range(0, n, BLOCK):  # a row lands before where any later row still stands
        halves[start : start + BLOCK] = matrix[start : start + BLOCK].astype(np.float32)
    del flat, halves  # views into memory that the next line may move
    matrix.resize((n * n + 1) // 2, refcheck=False)
    return matrix.view(np.float32)[: n * n].reshape(n, n)
