"""ImplicitSLIM: item embeddings smoothed by an item-item model that is never written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from recae.errors import TrainingError

COLUMNS = 64
"""Of the embeddings multiplied at a time: a product by X takes users x 64 float64."""


def implicit_slim(
    embeddings: np.ndarray, matrix: Any, l2: float, alpha: float, threshold: int
) -> np.ndarray:
    """Embeddings that the items' neighbours agree with, near the given ones: (n_items, width).

    With G = X'X and D = diag(1 / (G_ii + l2)), SLIM without its sparsity has the closed form
    B = I - (G + l2 I)^-1 diag((G + l2 I)^-1)^-1, in which the diagonal of the inverse is taken to
    be D. Locally linear embedding asks of embeddings F that F = B'F. With A the given embeddings E,
    the rows of items with fewer than `threshold` interactions set to zero, the result minimises

        |(I - B)' F|^2 + alpha |A' (F - E)|^2,

    which is F = alpha ((I - B)(I - B)' + alpha A A')^-1 A A' E, and by Woodbury's identity

        F = K A (I / alpha + A' K A)^-1 A' A with K = (G + l2 I) D^2 (G + l2 I),

    because (I - B)(I - B)' = K^-1, and A'E = A'A. Items below the threshold get embeddings too.

    embeddings: E (n_items, width) float32; matrix: X (users, n_items), CSR of ones; l2, alpha: > 0.
    Computed in float64, returned as float32. Costs 8 x interactions x width operations, some
    6 x n_items x width^2, and memory for 5 x n_items x width numbers; nothing is n_items x n_items.
    Raises TrainingError if the result is no longer numbers.

    Shenbin & Nikolenko, "ImplicitSLIM and How it Improves Embedding-based Collaborative Filtering",
    ICLR 2024. In the authors' code A is rounded to float16.
    """
    counts = matrix.getnnz(axis=0)  # (n_items,), the diagonal of G
    kept = np.where((counts >= threshold)[:, None], embeddings, 0).astype(np.float64)  # A
    scaled = _gram(matrix, kept, l2) / ((counts + l2) ** 2)[:, None]
    spread = _gram(matrix, scaled, l2)  # K A
    inner = kept.T @ spread  # (width, width), symmetric but for rounding
    inner = (inner + inner.T) / 2 + np.eye(len(inner)) / alpha
    try:
        factor = scipy.linalg.cho_factor(inner)
        smoothed = spread @ scipy.linalg.cho_solve(factor, kept.T @ kept)
    except (np.linalg.LinAlgError, ValueError):  # not positive, or not finite
        smoothed = np.full_like(spread, np.nan)
    with np.errstate(over="ignore"):
        found: np.ndarray = smoothed.astype(np.float32)
    if not np.isfinite(found).all():
        raise TrainingError(
            f"the embeddings smoothed with alpha={alpha} and l2={l2} are no longer numbers: lower "
            "alpha or raise l2"
        )
    return found


def _gram(matrix: Any, table: np.ndarray, l2: float) -> np.ndarray:
    """(X'X + l2 I) table, (n_items, width), some columns at a time."""
    out = l2 * table
    for start in range(0, table.shape[1], COLUMNS):
        some = slice(start, start + COLUMNS)
        out[:, some] += matrix.T @ (matrix @ np.ascontiguousarray(table[:, some]))
    return out
