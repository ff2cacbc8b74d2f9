"""Large symmetric matrices: made from sparse data, and inverted in their own memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import linear

from recae.errors import ConfigError


def by_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies, else numpy's BLAS.

    Where it was measured: float32 with AVX-512, 1,024 x 1,024 times its like on one core of an AMD
    Zen 5, 252 GFLOP/s beside 138 of OpenBLAS and 119 of MKL. It has no float64.
    """
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return bool(dtype == torch.float32 and onednn and wide)


def operand(block: Tensor) -> Tensor:
    """A copy of a block as `product` takes it."""
    if by_onednn(block.dtype):
        return block.contiguous().to_mkldnn()
    return block.clone(memory_format=torch.contiguous_format)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left right', (m, n) and again an operand; left (m, k) and right (n, k) are operands."""
    if left.is_mkldnn:
        return linear(left, right)
    return torch.from_numpy(np.matmul(left.numpy(), right.numpy().T))


def plain(block: Tensor) -> Tensor:
    """An operand as a tensor like any other."""
    return block.to_dense() if block.is_mkldnn else block


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


COLUMNS = 128
"""Columns of the result made at a time: few enough for the cache, enough for a sparse product."""


def over_items(
    matrix: Any,
    ridge: np.ndarray,
    dtype: np.dtype[Any],
    l2: float,
    shown: Any,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """-P, (n_items, n_items) in the dtype, and the diagonal of P = (X'X + diag(r))^-1.

    matrix: X, CSR (rows, n_items); ridge: r, (n_items,) float64, above zero. Costs items^3
    operations. Raises ConfigError when rounding leaves no positive definite matrix.
    """
    gram = gram_matrix(matrix, dtype)
    with np.errstate(over="ignore"):
        gram[np.diag_indices_from(gram)] += ridge
    if not np.isfinite(gram.diagonal()).all():
        raise ConfigError(
            f"X'X + l2 I is beyond the numbers of {dtype} at l2={l2}: lower l2, or scale down the "
            "weights of interactions if they reach the model"
        )
    negative_inverse(gram, l2, shown, device)
    return gram, -gram.diagonal()


def over_users(
    matrix: Any, ridge: np.ndarray, l2: float, shown: Any, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """The same through the users: -P in float32, and the diagonal of P in float64.

    With R = diag(r) and Y = X R^-1/2, P = R^-1/2 (I - Y' (I + YY')^-1 Y) R^-1/2 (Woodbury 1950).
    Costs users^3 operations and interactions x (users + items / 2) for the products, which are
    sparse; one user-user matrix in float64 beside the result. What is left of I in the brackets is
    small where an item has many users, and with it the digits that are left of a number: in float32
    scores were up to a hundred times as far off as through the items, so that nothing here is in
    float32 before the end.
    """
    roots = ridge**-0.5
    items = sp.csr_matrix((matrix.astype(np.float64) @ sp.diags(roots)).T)  # Y': (n_items, n_users)
    system = gram_matrix(items, np.dtype(np.float64))
    system[np.diag_indices_from(system)] += 1
    negative_inverse(system, l2, shown, device)
    n = len(ridge)
    inverse, diagonal = np.empty((n, n), np.float32), np.empty(n)
    for start in range(0, n, COLUMNS):
        stop = min(start + COLUMNS, n)
        solved = (items[start:stop] @ system).T  # (n_users, columns)
        part = items[start:] @ np.ascontiguousarray(solved)  # from the diagonal down
        part[np.diag_indices(stop - start)] += 1
        part *= roots[start:stop]
        part *= -roots[start:, None]
        diagonal[start:stop] = -part.diagonal()
        inverse[start:, start:stop] = part
        inverse[start:stop, stop:] = part[stop - start :].T
    shown.update()
    return inverse, diagonal
