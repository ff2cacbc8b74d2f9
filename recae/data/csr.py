"""Operations on the rows of CSR arrays that scipy lacks."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.scratch import empty_like
from recae.errors import DataError
from recae.system.mapped import release

Index = npt.NDArray[np.int64]
Matrix = Any  # a scipy.sparse.csr_matrix of float32; its stubs know it under several types


BLOCK = 1 << 20
"""Entries looked at together where a number for each of them would be too much memory."""


def row_numbers(indptr: npt.NDArray[Any]) -> Index:
    """The row of each stored entry, (nnz,) int64, ascending."""
    return np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))


def row_means(values: npt.NDArray[Any], indptr: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The mean of a number for each stored entry, (nnz,), over each row, (n_rows,); 0 for empty
    rows."""
    return row_sums(values, indptr) / np.maximum(np.diff(indptr), 1)


def row_sums(values: npt.NDArray[Any], indptr: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The sum of a number for each stored entry, (nnz,), over each row, (n_rows,) float64."""
    sums: Any = np.bincount(row_numbers(indptr), values, minlength=len(indptr) - 1)
    return np.asarray(sums, dtype=np.float64)


def row_blocks(indptr: npt.NDArray[Any], entries: int = BLOCK) -> list[slice]:
    """Slices that cut the rows into blocks of about so many entries, at least one row each."""
    n_rows = len(indptr) - 1
    marks = np.arange(entries, int(indptr[-1]), entries, dtype=indptr.dtype)  # else indptr is cast
    cuts = np.searchsorted(indptr, marks, side="right")
    bounds = np.unique(np.concatenate([[0], cuts, [n_rows]]).clip(0, n_rows)).tolist()
    return [slice(low, high) for low, high in itertools.pairwise(bounds)]


def take_rows(
    indptr: npt.NDArray[Any], rows: Index, *arrays: npt.NDArray[Any]
) -> tuple[list[npt.NDArray[Any]], npt.NDArray[Any]]:
    """The entries of the given rows, of arrays (nnz,); row -1 stands for an empty one.

    Returns an array (nnz of those rows,) for each of `arrays`, and the new (len(rows) + 1,) indptr.
    """
    lengths = np.append(np.diff(indptr), 0)[rows]  # -1 meets the added zero
    wide = indptr.dtype if lengths.sum(dtype=np.int64) < 2**31 else np.int64
    new_indptr = np.zeros(len(rows) + 1, dtype=wide)  # rows that are repeated can be more entries
    np.cumsum(lengths, out=new_indptr[1:])
    taken = [empty_like(array, int(new_indptr[-1])) for array in arrays]
    for block in row_blocks(new_indptr):
        first, last = new_indptr[block.start], new_indptr[block.stop]
        shift = indptr[rows[block]] - new_indptr[block]
        places = np.arange(first, last) + np.repeat(shift, lengths[block])
        for array, out in zip(arrays, taken, strict=True):
            out[first:last] = array[places]
    return taken, new_indptr


def keep_entries(indptr: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The indptr of the entries where `mask`, (nnz,) bool, is true."""
    kept: npt.NDArray[Any] = np.zeros_like(indptr)
    for rows in row_blocks(indptr):
        ends = indptr[rows.start : rows.stop + 1]
        before = np.zeros(int(ends[-1] - ends[0]) + 1, dtype=indptr.dtype)
        np.cumsum(mask[ends[0] : ends[-1]], out=before[1:])
        kept[rows.start + 1 : rows.stop + 1] = kept[rows.start] + before[ends[1:] - ends[0]]
    return kept


def masked(array: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The entries of an array where `mask` is true, both (nnz,); of a mapped one as a map."""
    found: npt.NDArray[Any] = empty_like(array, int(np.count_nonzero(mask)))
    at = 0
    for start in range(0, len(array), BLOCK):
        part = array[start : start + BLOCK][mask[start : start + BLOCK]]
        found[at : at + len(part)] = part
        at += len(part)
    return found


def counts(numbers: npt.NDArray[Any], n: int) -> Index:
    """How often each of 0..n-1 is among `numbers`, (n,) int64.

    `numpy.bincount` alone copies int32 numbers to int64, all of them at once.
    """
    found = np.zeros(n, dtype=np.int64)
    step = max(BLOCK, n)  # each block costs n operations too
    for start in range(0, len(numbers), step):
        found += np.bincount(numbers[start : start + step], minlength=n)
    return found


def column_counts(matrix: Matrix) -> Index:
    """The number of stored entries of each column, (n_columns,) int64."""
    return counts(matrix.indices, matrix.shape[1])


def cells(matrix: Matrix) -> Index:
    """The cell number `row * n_columns + column` of each stored entry, (nnz,) int64."""
    numbers: Index = row_numbers(matrix.indptr)
    numbers *= matrix.shape[1]
    numbers += matrix.indices
    return numbers


def sorted_csr(
    rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32], shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The indices and indptr of cells in any order, and where each came from, (nnz,) integers.

    Columns ascend within a row; a cell that comes twice stays twice. Two passes of counting and a
    sort within each row: beside its arguments it holds three arrays of nnz integers.
    """
    places = np.arange(len(rows), dtype=np.int32 if len(rows) < 2**31 else np.int64)
    same = rows[1:] == rows[:-1]
    if ((rows[1:] > rows[:-1]) | (same & (columns[1:] > columns[:-1]))).all():
        indptr = np.concatenate([[0], np.cumsum(counts(rows, shape[0]))])
        return columns, indptr, places
    del same
    coordinates: Any = sp.coo_matrix((places, (rows, columns)), shape=shape)
    coordinates.has_canonical_format = True  # tocsr would sum repeated cells otherwise
    matrix: Any = coordinates.tocsr()
    matrix.has_sorted_indices = False
    matrix.sort_indices()
    return matrix.indices, matrix.indptr, matrix.data


def moved_columns(
    matrix: Matrix, columns: Index
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """The entries in other columns: `columns` (n_columns,) holds the new number of each, and -1 for
    columns without entries.

    Returns the (nnz,) indices, again ascending within each row, and where each entry came from,
    or None where all of them stay where they are.
    """
    index = matrix.indices.dtype
    wide = np.int64 if len(columns) and columns.max() > np.iinfo(index).max else index
    indices: npt.NDArray[Any] = empty_like(matrix.indices, len(matrix.indices), wide)
    codes = columns.astype(wide)
    for start in range(0, len(indices), BLOCK):
        indices[start : start + BLOCK] = codes[matrix.indices[start : start + BLOCK]]
    used = columns[columns >= 0]
    if (used[1:] > used[:-1]).all():
        return indices, None
    places = np.arange(len(indices), dtype=index)
    shape = (matrix.shape[0], int(columns.max()) + 1)
    moved: Any = sp.csr_matrix((places, indices, matrix.indptr), shape=shape)
    moved.has_sorted_indices = False
    moved.sort_indices()
    return moved.indices, moved.data


def repeated_cells(indices: npt.NDArray[Any], indptr: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each entry of a sorted CSR is in the same cell as the entry before it, (nnz,)."""
    repeated = np.zeros(len(indices), dtype=np.bool_)
    np.equal(indices[1:], indices[:-1], out=repeated[1:])
    starts = indptr[:-1]
    repeated[starts[starts < len(indices)]] = False
    return repeated


def canonical_csr(matrix: Matrix) -> Matrix:
    """A CSR copy of any scipy sparse matrix, repeated cells added up, zeros dropped.

    Its numbers are float64, but float32 ones of a matrix that is in this form already.
    """
    check_numbers(matrix)
    _check_sound(matrix)
    if matrix.dtype == np.float32 and matrix.format == "csr" and _is_canonical(matrix):
        if matrix.data.all():
            parts = (matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy())
            return sp.csr_matrix(parts, shape=matrix.shape)
    canonical = added_up(matrix)
    canonical.eliminate_zeros()
    return canonical


def added_up(matrix: Matrix) -> Matrix:
    """A float64 CSR copy of a scipy sparse matrix of any format, repeated cells added up.

    Every number is cast before it meets another one: `tocsr`, `toarray` and `sum_duplicates` add up
    in the type of the matrix, where 256 cells of uint8 are 0, and 2**24 + 1 is 2**24 in float32.
    Raises DataError as `check_numbers` does.
    """
    check_numbers(matrix)
    try:
        canonical: Matrix = sp.csr_matrix(matrix.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"the {matrix.format.upper()} matrix cannot be read: {error}") from None
    canonical.sum_duplicates()
    return canonical


def check_numbers(matrix: Matrix) -> None:
    """DataError unless it is a sparse matrix, (rows, columns), of booleans or real numbers."""
    if not is_sparse(matrix):
        raise DataError(f"a scipy sparse matrix is needed, not {type(matrix).__name__}")
    if matrix.ndim != 2:
        raise DataError(
            f"a sparse matrix of numbers has 2 dimensions; this one has shape {matrix.shape}"
        )
    if matrix.dtype.kind not in "biuf":
        raise DataError(
            f"a sparse matrix of real numbers is needed, not of {matrix.dtype}; "
            "convert its values, for instance with .astype(float)"
        )


def check_canonical(matrix: Matrix) -> None:
    """DataError unless it is a sound CSR with ascending columns in each row and no cell twice."""
    if not is_sparse(matrix) or matrix.format != "csr":
        raise DataError(f"the matrix must be a scipy CSR, not {type(matrix).__name__}")
    _check_sound(matrix)
    if not _is_canonical(matrix):
        raise DataError(
            "the matrix must have ascending columns in each row and no cell twice; "
            "Interactions.from_csr accepts any order"
        )


def _is_canonical(matrix: Matrix) -> bool:
    """Computed, because the flags that scipy keeps of this can be out of date."""
    indices, starts = matrix.indices, matrix.indptr[1:-1]
    ascends = np.ones(len(indices) + 1, dtype=np.bool_)  # the last one: where empty rows start
    np.greater(indices[1:], indices[:-1], out=ascends[1 : len(indices)])
    ascends[starts] = True
    return bool(ascends.all())


def frozen_csr(
    data: npt.NDArray[np.float32],
    indices: npt.NDArray[Any],
    indptr: npt.NDArray[Any],
    shape: tuple[int, int],
) -> Matrix:
    """A read-only csr_matrix over these arrays, which must be canonical and not used elsewhere."""
    matrix: Matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.setflags(write=False)
    # Set, so that scipy does not try to sort read-only arrays in place.
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


def fingerprint(pieces: Iterable[bytes], matrix: Matrix) -> str:
    """16 hex digits that change with any byte of the pieces, and with the canonical CSR."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    hash_into(digest, matrix)
    return digest.hexdigest()[:16]


def hash_into(digest: Any, matrix: Matrix) -> None:
    """Feeds a canonical CSR to a hash, the same bytes whichever index width scipy chose."""
    for array, dtype in ((matrix.indptr, "<i8"), (matrix.indices, "<i8"), (matrix.data, "<f4")):
        for start in range(0, len(array), BLOCK):
            digest.update(array[start : start + BLOCK].astype(dtype).data)
            release(array)


def is_sparse(matrix: object) -> bool:
    """Whether a value is a scipy sparse matrix or array."""
    return bool(sp.issparse(matrix))  # bool: the stubs would narrow the type to one without data
