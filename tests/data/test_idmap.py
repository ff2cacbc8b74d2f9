"""Ids: one normal form, codes that round-trip, messages that name the culprit."""

import datetime
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import IdMap, Interactions, as_ids
from recae.errors import DataError

small = settings(max_examples=50, derandomize=True, database=None, deadline=None)
int_columns = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30)
text_columns = st.lists(st.text(max_size=4), min_size=1, max_size=30)


@small
@given(int_columns | text_columns)
def test_codes_decode_to_the_column_they_came_from(values):
    ids, codes = IdMap.from_values(values)
    assert ids.decode(codes).tolist() == values
    assert ids.encode(values).tolist() == codes.tolist()
    assert ids.ids.tolist() == sorted(set(values))


@small
@given(int_columns | text_columns, st.randoms(use_true_random=False))
def test_the_code_of_an_id_does_not_depend_on_the_order_of_the_rows(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert IdMap.from_values(values)[0] == IdMap.from_values(shuffled)[0]


@small
@given(int_columns, int_columns)
def test_union_keeps_codes_and_adds_what_is_new(left, right):
    first, second = IdMap.from_values(left)[0], IdMap.from_values(right)[0]
    union = first.union(second)
    assert union.ids[: len(first)].tolist() == first.ids.tolist()
    assert set(union.ids.tolist()) == set(left) | set(right)


@pytest.mark.parametrize(
    "values",
    [
        [3, 1],
        (3, 1),
        np.array([3, 1], dtype=np.uint8),
        np.array([3, 1], dtype=object),
        pd.Series([3, 1], index=[7, 7], dtype="Int32"),
        pd.Series([3, 1], dtype="int16[pyarrow]"),
        pd.Index([3, 1]),
        pd.Categorical([3, 1]),
        pa.array([3, 1]),
    ],
)
def test_integers_of_any_storage_become_int64(values):
    ids = as_ids(values)
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 1]


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a"],
        np.array(["b", "a"]),
        pd.Series(["b", "a"]),
        pd.Series(["b", "a"], dtype=object),
        pd.Series(["b", "a"], dtype="string[pyarrow]"),
        pd.Series(["b", "a"], dtype=pd.ArrowDtype(pa.string())),
        pd.Series(["b", "a"], dtype="category"),
        pa.chunked_array([["b"], ["a"]]),
    ],
)
def test_text_of_any_storage_becomes_str(values):
    ids = as_ids(values)
    assert ids.dtype == object
    assert [type(id) for id in ids] == [str, str]
    assert ids.tolist() == ["b", "a"]
    assert IdMap(values).encode(["a", "b", "a"]).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], "user ids .*mix .*: 1 at row 0, 'a' at row 1"),
        (["a", "b", 5], "mix .*: 'a' at row 0, 5 at row 2"),
        ([1, True], r"found True \(bool\) at row 1"),
        (np.array([True]), "user ids .*integers, text.*, not bool"),
        (np.array([1.0, 2.0]), r"floats .*1\.0 at row 0\).* int$"),
        (np.array([np.nan, 2.0]), "missing .*1 of 2 rows.* row 0.* int$"),
        (np.array([1.5]), "floats.* int .*str$"),
        (["a", None, None], "missing in 2 of 3 .* row 1"),
        (pd.Series([1, None], dtype="Int64"), "missing in 1 of 2 .* row 1"),
        (pd.Categorical(["a", None]), "missing in 1 of 2 rows"),
        ([1, 2**63], "64 bits.* 9223372036854775808 at row 1"),
        (np.array([0, 2**63], dtype=np.uint64), "9223372036854775808 at row 1"),
        ([-(2**63) - 1], "64 bits.* -9223372036854775809 at row 0"),
        (np.array(["2020-01-01T09"], dtype="M8[h]"), "dates.* 2020-01-01 09:00:00 at row 0"),
        ([datetime.date(2020, 1, 1), "a"], "mix .*: .* at row 0, 'a' at row 1"),
        ([uuid.UUID(int=1), 5], "mix UUIDs .*integers"),
        ([datetime.datetime(2020, 1, 1, 5)], r"integers .*found datetime\.datetime"),
        ([b"a"], "found b'a' \\(bytes\\) at row 0"),
        (np.ones((2, 2), dtype=int), r"one dimension, not shape \(2, 2\)"),
        (np.ma.masked_equal([5, 6], 6), "missing .* row 1"),
        ("abc", "list .*array.* 'abc'"),
        (7, "list .*array.* 7"),
    ],
)
def test_what_is_no_id_is_named_with_its_row(values, message):
    with pytest.raises(DataError, match=message):
        as_ids(values, "user")


def test_uuids_and_dates_become_the_text_that_everybody_writes():
    one, day = uuid.UUID("0b9a7b1c-0000-4000-8000-000000000001"), datetime.date(2026, 11, 23)
    assert as_ids([one]).tolist() == ["0b9a7b1c-0000-4000-8000-000000000001"]
    for dates in ([day], np.array([day], dtype="M8[s]"), pd.Series([pd.Timestamp(day)])):
        assert as_ids(dates).tolist() == ["2026-11-23"]
    users = IdMap([one, uuid.UUID(int=2)], what="user")
    assert users.encode([str(one), one.urn.removeprefix("urn:uuid:")]).tolist() == [0, 0]
    assert users.encode([uuid.UUID(int=2)]).tolist() == [1]


def test_duplicates_are_refused():
    with pytest.raises(DataError, match="item ids .*distinct.* 'a' at position 2.*1 in all"):
        IdMap(["a", "b", "a"], what="item")


def test_unknown_ids_are_minus_one_in_lookup_and_an_error_in_encode():
    items = IdMap([30, 10, 20], what="item")
    assert items.lookup([20, 5, 30]).tolist() == [2, -1, 0]
    with pytest.raises(DataError, match=r"unknown item 5 at row 1 \(2 of 4 rows"):
        items.encode([20, 5, 30, 6])


def test_kinds_do_not_mix():
    items = IdMap([1, 2], what="item")
    with pytest.raises(DataError, match="item ids .*text .*'1'.* integers"):
        items.lookup(["1"])
    with pytest.raises(DataError, match="integers .* 1.* text"):
        IdMap(["1"]).encode([1])
    assert items.lookup([]).tolist() == []
    assert IdMap([]).lookup(["a"]).tolist() == [-1]
    assert IdMap([]).union(IdMap(["a"])).ids.tolist() == ["a"]


def test_membership_does_not_confuse_types():
    integers, text = IdMap([1, 2]), IdMap(["1"])
    assert 1 in integers and np.int32(2) in integers and "1" in text
    assert not any(other in integers for other in (3, 1.0, True, "1", None, 2**70))
    assert 1 not in text


def test_decode_keeps_the_shape_and_checks_the_range():
    items = IdMap(["a", "b", "c"], what="item")
    assert items.decode([[0, 2], [1, 1]]).tolist() == [["a", "c"], ["b", "b"]]
    assert items.decode([]).tolist() == []
    with pytest.raises(DataError, match=r"item codes .* 0 to 2.* -1 \(1 "):
        items.decode([0, -1])
    with pytest.raises(DataError, match="codes .*integers, not bool"):
        items.decode([True])


def test_it_is_frozen_and_owns_its_ids():
    mine = np.array([5, 6])
    ids = IdMap(mine)
    mine[0] = 9
    assert ids.ids.tolist() == [5, 6]
    with pytest.raises(ValueError, match="read-only"):
        ids.ids[0] = 1
    with pytest.raises(AttributeError):
        ids.ids = mine


def test_equality_and_repr():
    assert IdMap([1, 2], what="user") == IdMap(np.array([1, 2], dtype=np.int8))
    assert IdMap([1, 2]) != IdMap([2, 1])
    assert IdMap([1]) != IdMap(["1"])
    assert IdMap([1]).to_bytes() != IdMap(["1"]).to_bytes()
    assert IdMap(["ab", "c"]).to_bytes() != IdMap(["a", "bc"]).to_bytes()
    assert repr(IdMap.range(5, "item")) == "IdMap(5 items: 0, 1, 2, ..., 4)"
    assert repr(IdMap(["a"])) == "IdMap(1 ids: 'a')"


@pytest.mark.parametrize("n", ["3", None, 2.5, True, -1])
def test_a_range_needs_a_count(n):
    with pytest.raises(DataError) as caught:
        IdMap.range(n)
    assert caught.value.parameter == "n"
    assert IdMap.range(np.uint8(2)).ids.tolist() == [0, 1]


def test_codes_of_nobody_and_of_unequal_lengths():
    data = Interactions.from_csr(sp.identity(3, format="csr"))
    assert data.select_users([]).n_users == data.select_items([]).n_items == 0
    for select in (data.select_users, data.select_items, data.users.decode):
        with pytest.raises(DataError, match="codes .*integers"):
            select([[1], [1, 2]])


@pytest.mark.parametrize("many", [1, 700])
def test_seek_finds_what_lookup_finds(many: int) -> None:
    for known, asked in (
        (IdMap([5, 3, 9]), [9, 4, 3, -7, 5] * many),
        (IdMap(["b", "a"]), ["a", "c", "b", ""] * many),
    ):
        expected = known.lookup(asked).tolist()
        for ids in (asked, tuple(asked), np.array(asked), pd.Series(asked)):
            assert known.seek(ids).tolist() == expected
    with pytest.raises(DataError):
        IdMap([5, 3]).seek(["a"] * many)
    with pytest.raises(DataError):
        IdMap([5, 3]).seek([5, 2**70] * many)
    with pytest.raises(DataError):
        IdMap([5, 3]).seek([5, None] * many)
