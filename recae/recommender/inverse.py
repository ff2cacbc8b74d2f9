"""Large symmetric matrices: made from sparse data, and inverted in their own memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.recommender.blockwise import operand, plain, product

BLOCK = 768
"""Rows of a matrix handled at a time beside the matrix itself."""


def blocks(n: int) -> int:
    """How many blocks a matrix of n rows is inverted in."""
    return -(-n // BLOCK)


def gram_matrix(matrix: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """X'X, dense and C-contiguous, from sparse products of one block of columns at a time."""
    rows = matrix.tocsr().astype(dtype)
    columns = rows.tocsc()
    gram = np.empty((matrix.shape[1],) * 2, dtype)
    for start in range(0, len(gram), BLOCK):
        block = columns[:, start : start + BLOCK].T @ rows  # (block, n_items) sparse
        block.toarray(out=gram[start : start + BLOCK])
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
    """The inversion on the CPU, in the memory of one matrix and of some 4 x BLOCK rows.

    Sweeps one block of rows after the other (Goodnight, "A Tutorial on the SWEEP Operator", The
    American Statistician 1979): with P = A_kk^-1, sweeping block k turns A_ij into
    A_ij - A_ik P A_kj, A_ik into A_ik P, and A_kk into -P. Of the symmetric matrix only the upper
    triangle of blocks is kept up. So it costs rows^3 operations (multiplications and additions),
    as Cholesky and the inverse of the factor do, nearly all in products of blocks, where a general
    inverse costs 2 rows^3. (The LAPACK that scipy ships crashed on 40,981 items.)
    """
    whole, n = torch.from_numpy(gram), len(gram)
    bounds = [slice(low, min(low + BLOCK, n)) for low in range(0, n, BLOCK)]
    for k, here in enumerate(bounds):
        pivot = _inverse(whole[here, here], l2)
        symmetric, columns, scaled = operand(pivot), [], []  # P, and A_ik and A_ik P for every i
        for i, rows in enumerate(bounds):
            block = whole[rows, here] if i <= k else whole[here, rows].mT
            columns.append(operand(block))
            scaled.append(product(columns[i], symmetric))
            block.copy_(plain(scaled[i]))
        whole[here, here] = pivot.neg_()
        for i, rows in enumerate(bounds):
            for j, others in enumerate(bounds[i:], start=i):
                if k not in (i, j):
                    whole[rows, others].sub_(plain(product(scaled[i], columns[j])))
        shown.update()
    for i, rows in enumerate(bounds):
        for others in bounds[:i]:
            whole[rows, others] = whole[others, rows].mT


def _inverse(block: Tensor, l2: float) -> Tensor:
    """The inverse of one symmetric positive definite block, through Cholesky in float64."""
    numbers = block.numpy()
    try:
        factor = np.linalg.cholesky(numbers.astype(np.float64))
    except np.linalg.LinAlgError:
        raise _not_positive_definite(l2) from None
    half = scipy.linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
    return torch.from_numpy((half.T @ half).astype(numbers.dtype))


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
