"""Matrices of more than one block of entries: the same results as scipy's, and no needless copies.

Memory is what numpy asks for, which is the same on every machine, in multiples of the 8 bytes that
an entry takes in the matrix itself.
"""

import gc
import hashlib
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae.data import IdMap, Interactions, csr
from recae.data.splits import LeaveLastOut, RandomSplit
from recae.data.tables.readers import read_interactions, write_interactions
from recae.errors import DataError

N_USERS, N_ITEMS = 60_000, 40_000


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(N_USERS * N_ITEMS, size=3 << 20))
    cells = cells[(cells // N_ITEMS) % 7 > 0]  # some users have nothing
    rows, columns = np.divmod(cells, N_ITEMS)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N_USERS))])
    arrays = (np.ones(len(cells), dtype=np.float32), columns.astype(np.int32), indptr)
    return sp.csr_matrix(arrays, shape=(N_USERS, N_ITEMS))


@pytest.fixture(scope="module")
def data(given):
    return Interactions.from_csr(given)


@pytest.fixture(scope="module")
def timed(data):
    return Interactions(data.matrix, data.users, data.items, np.arange(data.nnz)[::-1])


def peak(work, data):
    """The most memory that was held at a time, in sizes of the matrix, and what was made."""
    gc.collect()
    tracemalloc.start()
    made = work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / (8 * data.nnz), made


def same(one, other):
    """Whether two CSR matrices are the same, entry by entry."""
    return all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("data", "indices", "indptr")
    )


def test_there_are_several_blocks(data):
    blocks = csr.row_blocks(data.matrix.indptr)
    assert len(blocks) > 2 and blocks[0].start == 0 and blocks[-1].stop == N_USERS
    assert all(one.stop == other.start for one, other in zip(blocks, blocks[1:], strict=False))
    # A row longer than a block is in one; so is every empty row.
    cut = csr.row_blocks(np.array([0, 0, 9, 9, 10, 10]), 3)
    assert cut == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert csr.row_blocks(np.array([0, 0, 0])) == [slice(0, 2)]
    assert csr.row_blocks(np.array([0])) == []


def test_from_csr_copies_a_good_matrix_once(given):
    memory, made = peak(lambda: Interactions.from_csr(given), given)
    assert memory < 1.7  # itself, and a byte or two an entry for the checks
    assert same(made.matrix, given) and not np.shares_memory(made.matrix.data, given.data)
    assert not np.shares_memory(made.matrix.indices, given.indices)


@pytest.mark.parametrize("change", ["unsorted", "twice"])
def test_a_bad_matrix_is_told_from_a_good_one(given, change):
    bad = given.copy()
    row = np.flatnonzero(np.diff(bad.indptr) > 1)[-1]
    first = bad.indptr[row]
    pair = bad.indices[first : first + 2]
    pair[:] = pair[::-1] if change == "unsorted" else pair[0]
    bad.has_canonical_format = True  # which is a lie
    with pytest.raises(DataError, match="ascending columns"):
        Interactions(bad, IdMap.range(N_USERS), IdMap.range(N_ITEMS))
    made = Interactions.from_csr(bad)
    assert (made.matrix[row] != sp.csr_matrix(bad[row].toarray())).nnz == 0


def test_a_last_row_that_starts_below_the_one_before_it_is_in_order():
    matrix = sp.csr_matrix(np.array([[0, 1], [0, 0], [1, 0], [0, 0]], dtype=np.float32))
    csr.check_canonical(matrix)
    csr.check_canonical(sp.csr_matrix((3, 0), dtype=np.float32))


def test_fingerprints_are_those_of_all_bytes_at_once(data):
    memory, found = peak(data.fingerprint, data)
    assert memory < 2.5  # a block at a time, whose numbers become int64
    digest = hashlib.sha256(data.users.to_bytes() + data.items.to_bytes())
    for array, dtype in (("indptr", "<i8"), ("indices", "<i8"), ("data", "<f4")):
        digest.update(getattr(data.matrix, array).astype(dtype).tobytes())
    assert found == digest.hexdigest()[:16]


def test_taking_rows(data, timed):
    rows = np.random.default_rng(1).permutation(N_USERS)[: N_USERS // 2]
    memory, some = peak(lambda: data.select_users(rows), data)
    assert memory < 0.5 + 3.5 * csr.BLOCK / data.nnz  # the half, and numbers for one block
    assert same(some.matrix, data.matrix[rows])
    assert (timed.select_users(rows).times == timed.nnz - 1 - places(data, rows)).all()
    assert data.select_users(np.arange(N_USERS)) is data


def places(data, rows):
    """Where the entries of these rows are."""
    numbers = sp.csr_matrix((np.arange(data.nnz), data.matrix.indices, data.matrix.indptr))
    return numbers[rows].data


def test_keeping_some_entries(data):
    mask = np.random.default_rng(2).random(data.nnz) < 0.5
    memory, kept = peak(lambda: data.keep(mask), data)
    assert memory < 1.3
    wanted = data.matrix.copy()
    wanted.data = wanted.data * mask
    wanted.eliminate_zeros()
    assert same(kept.matrix, wanted)


def test_other_items(data, timed):
    order = np.random.default_rng(3).permutation(N_ITEMS)
    memory, moved = peak(lambda: data.select_items(order), data)
    assert memory < 2.6
    assert same(moved.matrix, data.matrix[:, order].sorted_indices())
    kept = np.sort(order[: N_ITEMS // 2])
    memory, (some, left_out) = peak(lambda: timed.with_items(IdMap(kept)), data)
    assert memory < 2.6
    assert same(some.matrix, data.matrix[:, kept]) and left_out == data.nnz - some.nnz
    assert (some.times == timed.times[np.isin(data.matrix.indices, kept)]).all()
    nobody, left_out = data.with_items(IdMap([-1]))
    assert nobody.matrix.shape == (N_USERS, 1) and left_out == data.nnz and not nobody.nnz


def test_ones_are_not_copied(data):
    assert data.binarised() is data
    memory, _ = peak(lambda: csr.column_counts(data.matrix), data)
    assert memory < 1.5 * csr.BLOCK / data.nnz
    expected = np.bincount(data.matrix.indices, minlength=N_ITEMS)
    assert (csr.column_counts(data.matrix) == expected).all()


def test_writing_and_reading(timed, tmp_path):
    memory, _ = peak(lambda: write_interactions(timed, tmp_path / "all.parquet"), timed)
    assert memory < 2
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "all.parquet"), timed.to_frame())
    back = read_interactions(tmp_path / "all.parquet", timed.users, timed.items)
    assert same(back.matrix, timed.matrix) and (back.times == timed.times).all()
    assert back.users is timed.users


def test_splits_are_those_of_all_entries_ordered_at_once(timed):
    rows = csr.row_numbers(timed.matrix.indptr)
    drawn = np.random.default_rng([0]).random(timed.nnz)
    from_end = np.empty(timed.nnz, dtype=np.int64)
    ends = timed.matrix.indptr[rows + 1] - 1
    for keys, split in (
        ((drawn, rows), RandomSplit(validation=0, test=0.2)),
        ((timed.times, rows), LeaveLastOut(validation=0)),
    ):
        from_end[np.lexsort(keys)] = ends - np.arange(timed.nnz)
        n = np.diff(timed.matrix.indptr)
        tested = np.where(n > 1, np.maximum(np.floor(0.2 * n + 1e-9), 1), 0)
        if isinstance(split, LeaveLastOut):
            tested = (n > 1).astype(int)
        assert same(split.split(timed).train.matrix, timed.keep(from_end >= tested[rows]).matrix)
