"""The scores of the members of an ensemble on one scale, and histories in their columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.data.csr import row_numbers


def standardise(scores: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and deviation 1 over the cells that are not seen; zeros for a constant row.

    scores: (rows, n_items) float32; seen: numbers of cells, row by row. A score of -inf counts as
    the lowest finite score of the row.
    """
    centred, deviation = centred_rows(scores, seen)
    flat = deviation == 0
    return np.where(flat, 0, centred / np.where(flat, 1, deviation)).astype(np.float32)


def centred_rows(scores: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with mean 0, and their deviations (rows, 1), 0 for a constant row; as `standardise`."""
    scores = scores.astype(np.float32)
    floor = np.where(np.isfinite(scores), scores, np.inf).min(1, keepdims=True)
    np.copyto(scores, floor, where=~np.isfinite(scores))
    scores[~np.isfinite(scores)] = 0  # rows without a finite score
    counted = np.ones(scores.shape, dtype=bool)
    counted.reshape(-1)[seen] = False
    n = np.maximum(counted.sum(1, keepdims=True), 1)
    mean = np.sum(scores, axis=1, keepdims=True, where=counted, dtype=np.float64) / n
    centred = scores - mean
    variance = np.sum(centred**2, axis=1, keepdims=True, where=counted) / n
    size = np.abs(scores).max(1, keepdims=True, initial=0)
    deviation = np.sqrt(variance)
    return centred, np.where(deviation <= 1e-7 * size, 0, deviation)


def for_member(matrix: Any, columns: np.ndarray, n_items: int) -> tuple[Any, np.ndarray]:
    """CSR histories in the columns of a member, and which entry each of theirs was."""
    indices = columns[matrix.indices]
    order = np.lexsort((indices, row_numbers(matrix.indptr)))
    parts = matrix.data[order], indices[order], matrix.indptr
    return sp.csr_matrix(parts, shape=(matrix.shape[0], n_items)), order
