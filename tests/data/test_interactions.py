"""Interactions: matrices in, one canonical frozen matrix out, and what can be selected from it."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import IdMap, Interactions
from recae.errors import DataError

small = settings(max_examples=40, derandomize=True, database=None, deadline=None)
rows = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("abcd"), st.integers(1, 5), st.integers(0, 9)),
    min_size=1,
    max_size=40,
    unique_by=lambda row: (row[0], row[1], row[3]),  # no two events of a pair at the same time
)


def frame(records):
    return pd.DataFrame(records, columns=["user_id", "item_id", "weight", "timestamp"])


def table(data):
    return data.to_frame().to_numpy(dtype=object).tolist()


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array, sp.coo_matrix, sp.csc_array])
def test_from_csr_makes_a_canonical_copy(kind):
    messy = sp.coo_matrix(([1, 2, 3, 4], ([0, 0, 1, 0], [2, 1, 0, 2])), shape=(2, 3))
    given = kind(messy)
    before = given.toarray().copy()
    data = Interactions.from_csr(given, users=["x", "y"])
    assert data.matrix.toarray().tolist() == [[0, 2, 5], [3, 0, 0]]
    assert data.matrix.indices.tolist() == [1, 2, 0]
    assert data.users.ids.tolist() == ["x", "y"] and data.items.ids.tolist() == [0, 1, 2]
    assert (given.toarray() == before).all()
    assert not np.shares_memory(data.matrix.data, getattr(given, "data", np.empty(0)))


def test_from_csr_leaves_an_unsorted_matrix_unsorted_and_drops_zeros():
    given = sp.csr_matrix(
        (np.array([1.0, 2.0, 0.0]), np.array([2, 0, 1]), np.array([0, 3])), shape=(1, 3)
    )
    data = Interactions.from_csr(given)
    assert given.indices.tolist() == [2, 0, 1]
    assert data.matrix.indices.tolist() == [0, 2] and data.matrix.data.tolist() == [2, 1]


def test_from_csr_refuses_what_does_not_fit():
    eye = sp.eye(3, format="csr")
    with pytest.raises(DataError, match="matrix .*3 users.* 2 user ids"):
        Interactions.from_csr(eye, users=[1, 2])
    with pytest.raises(DataError, match="> 0.* -1"):
        Interactions.from_csr(-eye)
    with pytest.raises(DataError, match=r"matrix\.data .*nan"):
        Interactions.from_csr(eye * np.nan)
    with pytest.raises(DataError, match="scipy sparse .*, not ndarray"):
        Interactions.from_csr(np.eye(2))
    with pytest.raises(DataError, match="complex128"):
        Interactions.from_csr(eye.astype(complex))


def test_the_constructor_checks_and_copies():
    matrix = sp.csr_matrix(np.array([[1, 2], [0, 3]], dtype=np.float32))
    users, items = IdMap.range(2, "user"), IdMap.range(2, "item")
    times = np.array([5, 6, 7])
    data = Interactions(matrix, users, items, times)
    matrix.data[0] = times[0] = 99
    assert data.matrix.data.tolist() == [1, 2, 3] and data.times.tolist() == [5, 6, 7]
    for array in (data.matrix.data, data.matrix.indices, data.matrix.indptr, data.times):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(DataError, match="times .* 3 integers .* float64 "):
        Interactions(matrix, users, items, times + 0.5)
    unsorted = sp.csr_matrix((np.ones(2), np.array([1, 0]), np.array([0, 2, 2])), shape=(2, 2))
    with pytest.raises(DataError, match="ascending columns"):
        Interactions(unsorted, users, items)
    damaged = matrix.copy()
    damaged.indices[0] = 5
    with pytest.raises(DataError, match="damaged"):
        Interactions(damaged, users, items)
    with pytest.raises(DataError, match="scipy CSR, not coo_matrix"):
        Interactions(matrix.tocoo(), users, items)


def test_read_only_matrices_still_work_in_scipy():
    data = Interactions.from_frame(frame([(1, "a", 1, 0), (2, "b", 2, 0), (2, "a", 3, 0)]))
    assert data.matrix[[1, 0, 1]].toarray().tolist() == [[3, 2], [1, 0], [3, 2]]
    assert (data.matrix.T @ data.matrix).toarray().tolist() == [[10, 6], [6, 4]]
    data.matrix.sum_duplicates()
    assert data.matrix[1:].sum() == 5


def example():
    records = [(1, "a", 1, 10), (1, "c", 2, 20), (2, "b", 3, 30), (3, "a", 4, 40), (3, "b", 5, 50)]
    return Interactions.from_frame(frame(records))


@small
@given(rows, st.data())
def test_selecting_users_selects_rows(records, draw):
    data = Interactions.from_frame(frame(records))
    codes = draw.draw(st.permutations(range(data.n_users)))
    codes = codes[: draw.draw(st.integers(0, data.n_users))]
    chosen = data.select_users(np.array(codes, dtype=int))
    assert chosen.users.ids.tolist() == data.users.ids[codes].tolist()
    assert (chosen.matrix.toarray() == data.matrix.toarray()[codes]).all()
    everything = table(data)
    assert all(row in everything for row in table(chosen))


def test_selecting_users_wants_distinct_codes_in_range():
    for codes in ([0, 0], [3], [-1], [True, False, True]):
        with pytest.raises(DataError, match="user"):
            example().select_users(codes)


def test_with_items_matches_by_id_and_counts_what_is_left_out():
    data, left_out = example().with_items(IdMap(["z", "c", "a"], what="item"))
    assert left_out == 2
    assert data.matrix.toarray().tolist() == [[0, 2, 1], [0, 0, 0], [0, 0, 4]]
    assert table(data) == [[1, "c", 2, 20], [1, "a", 1, 10], [3, "a", 4, 40]]
    with pytest.raises(DataError, match="integers"):
        example().with_items(IdMap([1, 2]))


def test_with_users_adds_empty_rows_and_loses_nobody():
    data = example().with_users(IdMap([9, 3, 2, 1], what="user"))
    assert data.matrix.toarray().tolist() == [[0, 0, 0], [4, 5, 0], [0, 3, 0], [1, 0, 2]]
    assert data.times.tolist() == [40, 50, 30, 10, 20]
    with pytest.raises(DataError, match="unknown user 2"):
        example().with_users(IdMap([1, 3, 4], what="user"))


def test_keep_select_items_and_binarised():
    kept = example().keep(example().matrix.data > 2)
    assert table(kept) == [[2, "b", 3, 30], [3, "a", 4, 40], [3, "b", 5, 50]]
    assert kept.users == example().users
    chosen = example().select_items([2, 0])
    assert chosen.items.ids.tolist() == ["c", "a"]
    assert chosen.matrix.toarray().tolist() == [[2, 1], [0, 0], [0, 4]]
    ones = example().binarised()
    assert not ones.weighted and ones.times.tolist() == [10, 20, 30, 40, 50]
    assert "weights" not in repr(ones)


def test_fingerprints_tell_contents_apart():
    data = example()
    others = [
        data.binarised(),
        data.select_users([0, 1]),
        data.select_users([1, 0, 2]),
        data.select_items([1, 0, 2]),
        Interactions.from_csr(data.matrix, items=data.items),
        Interactions.from_csr(data.matrix, users=data.users, items=["a", "b", "d"]),
    ]
    prints = {other.fingerprint() for other in [data, *others]}
    assert len(prints) == 7 and all(len(digest) == 16 for digest in prints)
    wide = data.matrix.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert Interactions(wide, data.users, data.items).fingerprint() == data.fingerprint()


def test_pairs_beyond_32_bits_stay_distinct():
    shape = (70_000, 70_000)  # 4.9e9 cells
    corners = sp.coo_matrix(([1, 2, 3], ([0, 61_356, 69_999], [0, 47_296, 69_999])), shape=shape)
    data = Interactions.from_csr(corners)
    again = data.select_items(np.arange(70_000)[::-1])
    assert again.matrix.indices.tolist() == [69_999, 22_703, 0]
    assert Interactions.from_frame(data.to_frame(), users=data.users, items=data.items).nnz == 3


@pytest.mark.parametrize(
    "parts",
    [
        {"indices": [0, 1, 9]},
        {"indices": [0, 1, -1]},
        {"indptr": [0, 2, 1, 3]},
        {"indptr": [0, 9, 9, 9]},
    ],
)
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix])
def test_a_damaged_matrix_is_refused_before_scipy_crashes_on_it(kind, parts) -> None:
    matrix = kind(np.eye(3))
    for name, values in parts.items():
        setattr(matrix, name, np.array(values, dtype=np.int32))
    with pytest.raises(DataError, match="matrix .*damaged"):
        Interactions.from_csr(matrix)


@pytest.mark.parametrize("codes", [[0.0, 1.0], [False, True]])
def test_all_users_are_selected_by_integers_too(codes) -> None:
    data = Interactions.from_csr(sp.csr_matrix(np.eye(2)))
    with pytest.raises(DataError, match="codes .*integers"):
        data.select_users(codes)
