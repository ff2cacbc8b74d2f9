"""Scores from sparse products: only what something speaks for gets a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.recommender.persistence import expect


def evidence(histories: Any, weights: Any) -> Tensor:
    """histories @ weights, both CSR: (rows, n_items) float32, -inf where nothing adds to a cell.

    A row is summed up in the order of its own entries, so that it has the same bits in any batch.
    """
    product = sp.csr_matrix(histories @ weights)
    scores = np.full(product.shape, -np.inf, dtype=np.float32)
    rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    scores[rows, product.indices] = product.data
    return torch.from_numpy(scores)


def valued(matrix: Any, weighted: bool) -> Any:
    """The histories with their weights, or with ones in their place: CSR (rows, n_items) float32.

    >>> valued(sp.csr_matrix([[0, 5.0]]), weighted=False).toarray()
    array([[0., 1.]], dtype=float32)
    """
    values = matrix.data if weighted else np.ones_like(matrix.data)
    parts = (values.astype(np.float32), matrix.indices, matrix.indptr)
    return sp.csr_matrix(parts, shape=matrix.shape)


def csr_to_arrays(name: str, matrix: Any) -> dict[str, Tensor]:
    """A CSR as named tensors, for saving; its shape is known to the model."""
    return {
        f"{name}.data": torch.from_numpy(np.array(matrix.data)),
        f"{name}.indices": torch.from_numpy(matrix.indices.astype(np.int64)),
        f"{name}.indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
    }


def csr_from_arrays(name: str, arrays: Mapping[str, Tensor], shape: tuple[int, int]) -> Any:
    """The inverse of `csr_to_arrays`. Raises ValueError for arrays that are no such matrix."""
    data, indices, indptr = (
        arrays[f"{name}.{part}"].numpy() for part in ("data", "indices", "indptr")
    )
    expect(torch.from_numpy(indptr), shape[0] + 1)
    matrix: Any = sp.csr_matrix((data, indices, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix
