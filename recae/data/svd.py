"""Truncated singular value decompositions: exact, and randomised for large matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from scipy.sparse._sparsetools import csc_matvecs

from recae.data.csr import row_blocks
from recae.rng import numpy_generator
from recae.system.progress import bar

OVERSAMPLED = 20
"""Directions of a randomised decomposition beyond those wanted."""

POWERS = 3
"""How often the random subspace is multiplied by the matrix and its transpose."""


class RowBlocks(scipy.sparse.linalg.LinearOperator):
    """A float64 matrix as its products, of blocks of rows of a CSR that is larger than memory.

    matrix: CSR (rows, columns); values: gives the numbers of some of its rows, as a CSR. The sums
    are those of scipy for the matrix in memory, in the same order.
    """

    def __init__(self, matrix: Any, values: Callable[[Any], Any]) -> None:
        super().__init__(np.float64, matrix.shape)  # type: ignore[call-arg]
        self.matrix, self.values = matrix, values

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Slices of rows, and a float64 CSR of each."""
        for rows in row_blocks(self.matrix.indptr):
            yield rows, self.values(self.matrix[rows]).astype(np.float64)

    def toarray(self) -> np.ndarray:
        """The dense matrix."""
        return np.concatenate([part.toarray() for _, part in self.blocks()])

    def _matmat(self, vectors: np.ndarray) -> np.ndarray:
        out = np.empty((self.shape[0], *vectors.shape[1:]))
        for rows, part in self.blocks():
            out[rows] = part @ vectors
        return out

    def _rmatmat(self, vectors: np.ndarray) -> np.ndarray:
        flat = vectors.reshape(len(vectors), -1)
        out = np.zeros((self.shape[1], flat.shape[1]))
        for rows, part in self.blocks():
            shape = self.shape[1], rows.stop - rows.start, flat.shape[1]
            some = np.ascontiguousarray(flat[rows], dtype=np.float64).ravel()
            # Into `out`, and not into an array of this block: the order of the sums matters.
            csc_matvecs(*shape, part.indptr, part.indices, part.data, some, out.ravel())
        return out.reshape(self.shape[1], *vectors.shape[1:])

    _matvec, _rmatvec = _matmat, _rmatmat


def truncated_svd(matrix: Any, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (rows, k), s (k,) falling and V (columns, k) of a sparse float64 matrix, exact (ARPACK).

    matrix: sparse, or RowBlocks.

    If the matrix has fewer than `k` rows or columns, the remaining directions are zeros.
    """
    least = min(matrix.shape)
    if k < least:
        start = numpy_generator(0).standard_normal(least)  # the result does not depend on it
        u, s, vt = scipy.sparse.linalg.svds(matrix, k=k, v0=start)
    else:  # so small that a dense copy is no larger than the factors
        u, s, vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
    order, missing = np.argsort(-s), (0, max(k - len(s), 0))
    u, s, v = u[:, order], s[order], vt[order].T
    return np.pad(u, ((0, 0), missing)), np.pad(s, missing), np.pad(v, ((0, 0), missing))


def randomised_svd(
    matrix: Any, k: int, generator: np.random.Generator, progress: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """s (k,) falling and V (columns, k) of a float32 CSR matrix, nearly: float32, `k` at most its
    rows and columns.

    As `subspace_svd`. Costs 14 x interactions x (k + 20) operations and some 10 x columns x
    (k + 20)^2, and memory for 3 x (rows + columns) x (k + 20) numbers.
    """
    width = min(k + OVERSAMPLED, *matrix.shape)
    start = generator.standard_normal((matrix.shape[1], width), dtype=np.float32)
    _, s, v = subspace_svd(
        lambda basis: matrix @ basis,
        lambda basis: matrix.T @ (matrix @ basis),
        start,
        k,
        progress=progress,
    )
    return s, v


def subspace_svd(
    image: Callable[[np.ndarray], np.ndarray],
    gram: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    k: int,
    *,
    powers: int = POWERS,
    progress: bool | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U diag(s) (rows, k), s (k,) falling and V (columns, k), approximately, of a matrix A. A is
    given by its products only, so it need not be stored.

    image: B (columns, width) -> A B (rows, width). gram: B -> A' A B (columns, width). start: the
    random subspace (columns, width), with some directions more than `k`, in the precision of the
    result. It is multiplied by A' A `powers` times, which leaves the leading singular vectors:
    exact where the spectrum falls steeply, and mixed with their neighbours where it is flat.

    Halko, Martinsson & Tropp, "Finding Structure with Randomness", SIAM Review 2011, algorithms
    4.4 and 5.1; between the powers LU keeps the directions apart, which is cheaper than QR.
    (scikit-learn's `randomized_svd` is the same algorithm, but needs the matrix itself.)
    """
    basis = start
    with bar(powers + 1, "singular vectors", "power", progress) as shown:
        for power in range(powers):
            basis = gram(basis)
            if power < powers - 1:
                basis, _ = scipy.linalg.lu(basis, permute_l=True, overwrite_a=True)
            shown.update()
        basis, _ = np.linalg.qr(basis)
        left = image(basis)
        # Not by the eigenvalues of a Gram matrix: in float32 their roots lose half of the digits.
        _, s, turn = np.linalg.svd(np.linalg.qr(left, mode="r"))
        shown.update()
    return left @ turn[:k].T, s[:k], basis @ turn[:k].T
