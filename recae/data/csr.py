"""Row arithmetic on CSR arrays that scipy lacks: it moves the data, but not the times beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.errors import DataError

Index = npt.NDArray[np.int64]
Matrix = Any  # a scipy.sparse.csr_matrix of float32; its stubs know it under several types


def row_numbers(indptr: npt.NDArray[Any]) -> Index:
    """The row of each stored entry, (nnz,) int64, ascending."""
    return np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))


def take_rows(indptr: npt.NDArray[Any], rows: Index) -> tuple[Index, Index]:
    """Where the entries of the given rows lie, and the new indptr; row -1 stands for an empty one.

    Returns (nnz of those rows,) positions and (len(rows) + 1,) indptr, both int64.
    """
    lengths = np.append(np.diff(indptr), 0).astype(np.int64)[rows]  # -1 meets the added zero
    new_indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shift = indptr[rows] - new_indptr[:-1]
    return np.arange(new_indptr[-1]) + np.repeat(shift, lengths), new_indptr


def cells(matrix: Matrix) -> Index:
    """The cell number `row * n_columns + column` of each stored entry, (nnz,) int64."""
    numbers: Index = row_numbers(matrix.indptr) * matrix.shape[1] + matrix.indices
    return numbers


def pairs_to_csr(pairs: Index, shape: tuple[int, int]) -> tuple[Index, Index]:
    """The indices and indptr of ascending cell numbers `row * n_columns + column`."""
    rows, columns = np.divmod(pairs, max(shape[1], 1))
    per_row = np.bincount(rows, minlength=shape[0])
    return columns, np.concatenate([[0], np.cumsum(per_row)]).astype(np.int64)


def sorted_csr(
    rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32], shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The indices and indptr of cells in any order, and where each came from, (nnz,) integers.

    Columns ascend within a row; a cell that comes twice stays twice. Two passes of counting and a
    sort within each row: beside its arguments it holds three arrays of nnz integers.
    """
    same = rows[1:] == rows[:-1]
    if ((rows[1:] > rows[:-1]) | (same & (columns[1:] > columns[:-1]))).all():
        counts = np.bincount(rows, minlength=shape[0])
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return columns, indptr, np.arange(len(rows))
    del same
    places = np.arange(len(rows), dtype=np.int32 if len(rows) < 2**31 else np.int64)
    coordinates: Any = sp.coo_matrix((places, (rows, columns)), shape=shape)
    coordinates.has_canonical_format = True  # or tocsr would add up the places of repeated cells
    matrix: Any = coordinates.tocsr()
    matrix.has_sorted_indices = False
    matrix.sort_indices()
    return matrix.indices, matrix.indptr, matrix.data


def repeated_cells(indices: npt.NDArray[Any], indptr: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each entry of a sorted CSR is in the same cell as the entry before it, (nnz,)."""
    repeated = np.zeros(len(indices), dtype=np.bool_)
    np.equal(indices[1:], indices[:-1], out=repeated[1:])
    starts = indptr[:-1]
    repeated[starts[starts < len(indices)]] = False
    return repeated


def canonical_csr(matrix: Matrix) -> Matrix:
    """A float64 CSR copy of any scipy sparse matrix, repeated cells added up, zeros dropped."""
    if not is_sparse(matrix) or matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        kind = f"{type(matrix).__name__} of {getattr(matrix, 'dtype', 'no dtype')}"
        raise DataError(f"a scipy sparse matrix of numbers is needed, not {kind}")
    _check_sound(matrix)
    canonical: Matrix = sp.csr_matrix(matrix, dtype=np.float64, copy=True)
    canonical.sum_duplicates()
    canonical.eliminate_zeros()
    return canonical


def check_canonical(matrix: Matrix) -> None:
    """DataError unless it is a sound CSR with ascending columns in each row and no cell twice."""
    if not is_sparse(matrix) or matrix.format != "csr":
        raise DataError(f"the matrix must be a scipy CSR, not {type(matrix).__name__}")
    _check_sound(matrix)
    # Computed, because the flags that scipy keeps of this can be out of date.
    numbers = cells(matrix)
    if not (numbers[1:] > numbers[:-1]).all():
        raise DataError(
            "the matrix must have ascending columns in each row and no cell twice; "
            "Interactions.from_csr accepts any order"
        )


def frozen_csr(
    data: npt.NDArray[np.float32],
    indices: npt.NDArray[Any],
    indptr: npt.NDArray[Any],
    shape: tuple[int, int],
) -> Matrix:
    """A read-only csr_matrix over these arrays, which must be canonical and nobody else's."""
    matrix: Matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.setflags(write=False)
    # Told, so that scipy does not try to sort read-only arrays in place.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def _check_sound(matrix: Matrix) -> None:
    """DataError for indices out of range and the like, on which scipy's own code would crash."""
    try:
        if matrix.format in ("csr", "csc", "bsr"):
            matrix.check_format(full_check=True)
        elif matrix.format == "coo":
            matrix._check()
    except ValueError as error:
        raise DataError(f"the {matrix.format.upper()} matrix is damaged: {error}") from None


def to_bytes(matrix: Matrix) -> bytes:
    """A canonical CSR as bytes, for fingerprints, whichever index width scipy chose."""
    indices = [array.astype("<i8").tobytes() for array in (matrix.indptr, matrix.indices)]
    return b"".join([*indices, matrix.data.astype("<f4").tobytes()])


def is_sparse(matrix: object) -> bool:
    """Whether a value is a scipy sparse matrix or array."""
    return bool(sp.issparse(matrix))  # bool: the stubs would narrow the type to one without data
