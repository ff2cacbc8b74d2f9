"""Truncated singular value decompositions of sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from recae.system.progress import bar

OVERSAMPLED = 20
"""Directions of a randomised decomposition beyond those wanted."""


POWERS = 3


def randomised_svd(
    matrix: Any, k: int, generator: np.random.Generator, progress: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """s (k,) falling and V (columns, k) of a float32 CSR matrix, nearly: float32, `k` at most its
    rows and columns.

    A random subspace of k + 20 directions is multiplied by the matrix and its transpose three
    times, which leaves the leading singular vectors: exact where the spectrum falls steeply, and
    mixed with their neighbours where it is flat. Costs 14 x interactions x (k + 20) operations and
    some 10 x columns x (k + 20)^2, and memory for 2 x (rows + columns) x (k + 20) numbers.

    Halko, Martinsson & Tropp, "Finding Structure with Randomness", SIAM Review 2011, algorithms
    4.4 and 5.1; between the powers LU keeps the directions apart, which is cheaper than QR.
    """
    width = min(k + OVERSAMPLED, *matrix.shape)
    basis = generator.standard_normal((matrix.shape[1], width), dtype=np.float32)
    with bar(POWERS + 1, "singular vectors", "power", progress) as shown:
        for power in range(POWERS):
            basis = matrix.T @ (matrix @ basis)
            if power < POWERS - 1:
                basis, _ = scipy.linalg.lu(basis, permute_l=True, overwrite_a=True)
            shown.update()
        basis, _ = np.linalg.qr(basis)
        # Not by the eigenvalues of a Gram matrix: in float32 their roots lose half of the digits.
        image = np.linalg.qr(matrix @ basis, mode="r")
        _, s, turn = np.linalg.svd(image)
        shown.update()
    return s[:k], basis @ turn[:k].T
