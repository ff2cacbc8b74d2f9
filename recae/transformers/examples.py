"""What a transformer is given, checked: dense rows, images, or a sparse matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.csr import is_sparse
from recae.errors import DataError
from recae.nn import Batch, Ragged


@dataclass(frozen=True)
class Examples:
    """Rows of examples: `rows` is a float32 tensor (n, ...) or a float32 CSR matrix (n, features).

    names: the columns' names, if they came with text names.
    """

    rows: Any
    names: tuple[str, ...] | None = None

    @property
    def sparse(self) -> bool:
        """Whether these are a sparse matrix."""
        return not isinstance(self.rows, Tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.rows.shape[1:])

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def batch(self, start: int, stop: int, pad_to: int) -> Batch:
        """Some rows as a batch, with empty rows added up to `pad_to`."""
        if self.sparse:
            ragged = Ragged.from_csr(self.rows[start:stop], pad_to=pad_to)
            return Batch(ragged, ragged)
        rows = self.rows[start:stop]
        if len(rows) < pad_to:
            rows = torch.cat([rows, rows.new_zeros(pad_to - len(rows), *rows.shape[1:])])
        return Batch(rows, rows)

    def dense(self, start: int, stop: int) -> Tensor:
        """Some rows as a tensor, whatever they are kept as: for a few rows at a time."""
        if self.sparse:
            return torch.from_numpy(self.rows[start:stop].toarray())
        rows: Tensor = self.rows[start:stop]
        return rows

    def digest(self) -> str:
        """A SHA-256 of shape and numbers, to tell data apart."""
        parts = (
            [self.rows.data, self.rows.indices, self.rows.indptr] if self.sparse else [self.rows]
        )
        found = hashlib.sha256(repr(self.rows.shape).encode())
        for part in parts:
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


def read_examples(given: Any, owner: str) -> Examples:
    """Checks and converts: an array, a tensor, a frame of numbers, a scipy matrix, Interactions.

    Raises DataError for what is empty, one-dimensional, not numbers, or not finite.
    """
    if isinstance(given, Examples):
        return given
    names = None
    if isinstance(given, Interactions):
        given = given.matrix
    if is_sparse(given):
        _check_kind(given.dtype, owner)
        matrix: Any = scipy.sparse.csr_matrix(
            given, dtype=np.float32, copy=given.dtype != np.float32
        )
        _check_size(matrix.shape, owner)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        _check_finite(matrix.data, owner, lambda place: _row_of(matrix, place))
        return Examples(matrix)
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        columns = list(given.columns)
        names = tuple(columns) if all(isinstance(name, str) for name in columns) else None
        given = given.to_numpy()
    array = _as_array(given, owner)
    _check_size(array.shape, owner)
    _check_finite(array, owner, lambda place: place // max(int(np.prod(array.shape[1:])), 1))
    return Examples(torch.from_numpy(array), names)


def read_codes(given: Any, latent: int, owner: str) -> Tensor:
    """Codes to decode, (n, latent) float32. Raises DataError for anything else."""
    array = _as_array(given.toarray() if is_sparse(given) else given, owner)
    if array.ndim != 2 or array.shape[1] != latent:
        raise DataError(f"codes of this {owner} have the shape (rows, {latent}), not {array.shape}")
    _check_finite(array, owner, lambda place: place // latent)
    return torch.from_numpy(array)


def _as_array(given: Any, owner: str) -> np.ndarray:
    """A float32 copy or view of numbers."""
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DataError(f"X of {owner} cannot be read as an array of numbers: {error}") from error
    if array.dtype.kind in "OUS":
        try:
            array = array.astype(np.float64)
        except (ValueError, TypeError) as error:
            raise DataError(f"X of {owner} must hold numbers: {error}") from error
    _check_kind(array.dtype, owner)
    with np.errstate(over="ignore"):  # what is too large becomes inf, and is refused as such
        return np.ascontiguousarray(array, dtype=np.float32)


def _check_kind(dtype: np.dtype[Any], owner: str) -> None:
    if dtype.kind == "c":
        raise DataError(f"Complex data not supported by {owner}: give real numbers")
    if dtype.kind not in "biuf":
        raise DataError(f"X of {owner} must hold numbers, not {dtype}")


def _check_size(shape: Sequence[int], owner: str) -> None:
    if len(shape) < 2:
        raise DataError(
            f"X of {owner} must have rows and columns, not the shape {tuple(shape)}. Reshape your "
            "data: X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one example"
        )
    if shape[0] == 0:
        raise DataError(f"Found array with 0 sample(s) (shape={tuple(shape)}) in X of {owner}")
    if 0 in shape:
        raise DataError(
            f"Found array with 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is "
            f"required by {owner}"
        )


def _check_finite(values: np.ndarray, owner: str, row: Any) -> None:
    bad = ~np.isfinite(values.reshape(-1))
    if bad.any():
        first = int(bad.argmax())
        found = values.reshape(-1)[first]
        raise DataError(
            f"X of {owner} contains {'NaN' if np.isnan(found) else 'infinity'} in row "
            f"{row(first)} (NaN, inf or too large for float32 in {int(bad.sum())} places): "
            "fill or leave out such rows"
        )


def _row_of(matrix: Any, place: int) -> int:
    return int(np.searchsorted(matrix.indptr, place, side="right")) - 1
