"""Reads and checks the examples of a transformer: dense rows, images, or a sparse matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.csr import added_up, is_sparse
from recae.errors import DataError
from recae.nn import Batch, Ragged

LARGEST = float(np.finfo(np.float32).max)
KEPT = (np.uint8, np.int8, np.int16)
"""Types kept until scaling: images as integers take a quarter of the memory."""

NARROW = (np.float16, np.float32, np.bool_, np.uint16)
"""Types that float32 holds exactly; others are kept as float64 until scaling."""


@dataclass(frozen=True)
class Examples:
    """Rows of examples: a float32 CSR (n, features), or a tensor (n, ...), float32, float64 or,
    before they are scaled, one of `KEPT`.

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

    def __str__(self) -> str:
        return f"{'sparse' if self.sparse else 'dense'} examples of the shape {self.shape}"

    def batch(self, rows: slice) -> Batch:
        """Some rows as a batch."""
        some = Ragged.from_csr(self.rows[rows]) if self.sparse else self.rows[rows]
        return Batch(some, some)

    def dense(self, places: Tensor) -> Tensor:
        """The rows at some places as a dense tensor."""
        if self.sparse:
            return torch.from_numpy(self.rows[places.numpy()].toarray())
        rows: Tensor = self.rows[places]
        return rows

    def digest(self) -> str:
        """A SHA-256 of the shape and the numbers."""
        parts = (
            [self.rows.data, self.rows.indices, self.rows.indptr] if self.sparse else [self.rows]
        )
        found = hashlib.sha256(repr(self.rows.shape).encode())
        for part in parts:
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


def read_examples(given: Any, owner: str) -> Examples:
    """Checks and converts an array, tensor, frame of numbers, scipy matrix or Interactions.

    Raises DataError for input that is empty, one-dimensional, not numeric or not finite.
    """
    if isinstance(given, Interactions):
        given = given.matrix
    if is_sparse(given):
        return Examples(_as_csr(given, owner))
    if hasattr(given, "collect") and not hasattr(given, "to_numpy"):
        raise DataError(f"X of {owner} is a {type(given).__name__}: give X.collect()")
    columns: list[Any] = []
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        columns = list(getattr(given, "column_names", given.columns))  # Arrow's columns are arrays
        given = given.to_numpy()
    elif hasattr(given, "column_names"):
        columns = list(given.column_names)
    array = _as_array(given, owner, columns=columns)
    _check_size(array.shape, owner)
    width = max(int(np.prod(array.shape[1:])), 1)
    _check_finite(array, owner, lambda place: _place(divmod(place, width), columns))
    texts = columns and all(isinstance(name, str) for name in columns)
    return Examples(torch.from_numpy(array), tuple(columns) if texts else None)


def check_loss(examples: Examples, loss: str, owner: str) -> None:
    """Raises DataError for examples outside the range of a loss."""
    values = examples.rows.data if examples.sparse else examples.rows
    if loss not in ("logistic", "multinomial") or not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise DataError(
            f"Negative values in data passed to {owner}: loss={loss!r} needs values >= 0 (the "
            f"lowest is {low:g}); scale X, or set loss='squared'"
        )
    if loss == "logistic" and high > 1:
        raise DataError(
            f"X of {owner} goes up to {high:g}; loss='logistic' needs values from 0 to 1: divide X "
            "by its largest value, or set loss='squared'"
        )


def check_not_empty(examples: Examples, loss: str, owner: str) -> None:
    """Raises DataError for examples of zeros, under a loss that cannot learn from them."""
    empty = examples.rows.nnz == 0 if examples.sparse else not bool(examples.rows.any())
    if empty and (examples.sparse or loss == "multinomial"):
        raise DataError(f"X of {owner} has no entry other than 0: there is nothing to learn")


def read_codes(given: Any, latent: int, owner: str) -> Tensor:
    """Codes to decode, (n, latent) float32. Raises DataError for anything else."""
    array = _as_array(added_up(given).toarray() if is_sparse(given) else given, owner, "codes")
    if array.ndim != 2 or array.shape[1] != latent or not len(array):
        raise DataError(f"codes of this {owner} have the shape (rows, {latent}), not {array.shape}")
    _check_finite(array, owner, lambda place: _place((place // latent,)), "codes")
    return torch.from_numpy(array).float()


def _as_csr(given: Any, owner: str) -> Any:
    """A float32 CSR without repeated cells and stored zeros."""
    _check_kind(given.dtype, owner)
    _check_size(given.shape, owner)
    with np.errstate(over="ignore"):  # too large numbers become inf and are refused below
        # Only a COO adds up while it is converted, and it does so in its own type.
        matrix = added_up(given) if given.format == "coo" else given
        matrix = scipy.sparse.csr_matrix(matrix, dtype=np.float32)
    if matrix.nnz and not 0 <= matrix.indices.min() <= matrix.indices.max() < matrix.shape[1]:
        raise DataError(
            f"X of {owner} has entries in columns {matrix.indices.min()} to "
            f"{matrix.indices.max()}, and {matrix.shape[1]} columns: build the matrix again"
        )
    if not matrix.has_canonical_format or not matrix.data.all():
        with np.errstate(over="ignore"):
            matrix = added_up(given).astype(np.float32)
        matrix.eliminate_zeros()
    rows = matrix.indptr
    _check_finite(
        matrix.data, owner, lambda p: _place((int(np.searchsorted(rows, p, side="right")) - 1,))
    )
    return matrix


def _as_array(given: Any, owner: str, what: str = "X", columns: Sequence[Any] = ()) -> np.ndarray:
    """Numbers as a contiguous array of `KEPT`, float32 or float64, without a copy if possible.

    columns: the labels of a frame, for errors.
    """
    if isinstance(given, Tensor):
        if given.layout != torch.strided:
            raise DataError(f"{what} of {owner} is a sparse tensor: give a scipy matrix instead")
        if given.is_meta or given.is_quantized:
            raise DataError(
                f"{what} of {owner} is a {'meta' if given.is_meta else 'quantised'} tensor, which "
                "holds no numbers: give a float tensor of the CPU or of a GPU"
            )
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
    if isinstance(given, np.ma.MaskedArray):
        given = np.ma.filled(given.astype(np.float64), np.nan)
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:  # such as rows of unlike lengths
        raise DataError(f"{what} of {owner} must hold numbers: {error}") from error
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
            raise _no_numbers(array, owner, what, columns) from error
    _check_kind(array.dtype, owner, what)
    if array.dtype not in KEPT:
        with np.errstate(over="ignore"):  # too large numbers become inf and are refused later
            array = array.astype(np.float32 if array.dtype in NARROW else np.float64, copy=False)
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()  # torch has no read-only tensors


def _no_numbers(array: np.ndarray, owner: str, what: str, columns: Sequence[Any]) -> DataError:
    """The error of the first object that is no number, with its place and the count of them."""

    def wrong(value: Any) -> bool:
        try:
            float(value)
        except (ValueError, TypeError, OverflowError, ArithmeticError):
            return value is not None
        return False

    bad = [place for place, value in enumerate(array.flat) if wrong(value)]
    first = tuple(int(at) for at in np.unravel_index(bad[0], array.shape))
    where, value = _place(first, columns), array[first]
    if type(value).__name__ in ("NAType", "NaTType"):
        return DataError(
            f"{what} of {owner} contains {value} in {where} ({len(bad):,} such values): fill these "
            "values or drop the rows"
        )
    return DataError(
        f"{what} of {owner} must hold numbers: {where} holds {value!r:.60} of the type "
        f"{type(value).__name__} ({len(bad):,} such values): encode these values, or drop the "
        "columns or rows"
    )


def _place(at: Sequence[int], columns: Sequence[Any] = ()) -> str:
    """A cell in words: its row and, with labels, its column."""
    if len(at) > 1 and at[1] < len(columns):
        return f"row {at[0]}, column {columns[at[1]]!r}"
    return f"row {at[0]}" if at else "its only value"


def _check_kind(dtype: np.dtype[Any], owner: str, what: str = "X") -> None:
    if dtype.kind == "c":
        raise DataError(f"Complex data not supported by {owner}: give real numbers as {what}")
    if dtype.kind not in "biuf":
        raise DataError(f"{what} of {owner} must hold numbers, not {dtype}")


def _check_size(shape: Sequence[int], owner: str) -> None:
    """Raises DataError for fewer than two dimensions, and for no rows or no features, in the words
    that scikit-learn's checks expect."""
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


def _check_finite(
    values: np.ndarray, owner: str, place: Callable[[int], str], what: str = "X"
) -> None:
    """Raises DataError, with the first place, for NaN, infinite numbers and those that float32
    cannot hold."""
    if values.dtype in KEPT:
        return
    with np.errstate(invalid="ignore"):
        if not values.size or (values.min() >= -LARGEST and values.max() <= LARGEST):
            return
        flat = values.reshape(-1)
        bad = ~(np.abs(flat) <= LARGEST)
    first = int(bad.argmax())
    raise DataError(
        f"{what} of {owner} contains {'NaN' if np.isnan(flat[first]) else 'infinity'} in "
        f"{place(first)} (NaN, inf or too large for float32 in {int(bad.sum())} places): "
        "fill these values or drop the rows"
    )
