"""Frames become interactions: order, duplicates, weights, times, known ids, and mistakes."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import IdMap, Interactions
from recae.data.tables import entries
from recae.errors import ConfigError, DataError, RepeatedRows, UnusedColumn

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


@small
@given(rows, st.randoms(use_true_random=False))
@pytest.mark.parametrize("duplicates", ["last", "first", "sum", "max"])
def test_the_order_of_the_rows_does_not_matter(duplicates, records, random):
    shuffled = records.copy()
    random.shuffle(shuffled)
    one = Interactions.from_frame(frame(records), duplicates=duplicates)
    other = Interactions.from_frame(frame(shuffled), duplicates=duplicates)
    assert one.fingerprint() == other.fingerprint()
    assert one.times.tolist() == other.times.tolist()


@small
@given(rows)
def test_a_frame_survives_the_round_trip(records):
    data = Interactions.from_frame(frame(records))
    again = Interactions.from_frame(data.to_frame())
    assert table(again) == table(data)
    assert again.fingerprint() == data.fingerprint()


@small
@given(rows)
def test_duplicates_agree_with_a_dictionary(records):
    last, total, largest = {}, {}, {}
    for user, item, weight, time in sorted(records, key=lambda row: row[3]):
        pair = (user, item)
        last[pair] = [weight, time]
        total[pair] = [total.get(pair, [0])[0] + weight, time]
        if weight >= largest.get(pair, [0])[0]:
            largest[pair] = [weight, time]
    for how, expected in (("last", last), ("sum", total), ("max", largest)):
        data = Interactions.from_frame(frame(records), duplicates=how)
        assert table(data) == [[*pair, *expected[pair]] for pair in sorted(expected)]


def test_duplicates_without_times_follow_the_order_of_the_rows():
    records = pd.DataFrame({"user_id": [1, 1, 1], "item_id": [5, 5, 5], "weight": [2, 4, 3]})

    def weight(how):
        return Interactions.from_frame(records, duplicates=how).matrix.data.tolist()

    assert (weight("last"), weight("first"), weight("sum"), weight("max")) == ([3], [2], [9], [4])
    with pytest.raises(DataError, match="2 rows repeat .* user 1 with item 5"):
        Interactions.from_frame(records, duplicates="error")
    with pytest.raises(ConfigError, match="unknown duplicates 'latest'.* mean 'last'"):
        Interactions.from_frame(records, duplicates="latest")


def test_a_small_frame_by_hand():
    data = Interactions.from_frame(
        frame([("u2", "x", 1.5, 30), ("u1", "y", 2, 20), ("u1", "x", 1, 10)])
    )
    assert data.users.ids.tolist() == ["u1", "u2"]
    assert data.matrix.toarray().tolist() == [[1, 2], [1.5, 0]]
    assert data.matrix.dtype == np.float32
    assert data.times.tolist() == [10, 20, 30]
    assert (data.n_users, data.n_items, data.nnz, data.weighted) == (2, 2, 3, True)
    assert data.density == 0.75
    assert repr(data) == (
        "Interactions(2 users x 2 items, 3 interactions, weights 1 to 2, density 75 %)"
    )


def test_weight_and_time_are_optional_under_their_default_names_only():
    pairs = pd.DataFrame({"user_id": [1, 2], "item_id": [7, 7], "stars": [3, 4]})
    data = Interactions.from_frame(pairs)
    assert not data.weighted and data.times is None
    with pytest.raises(DataError, match="time column 'when' .* columns: user_id, item_id, stars"):
        Interactions.from_frame(pairs, time="when")
    with pytest.raises(DataError, match="weight='stars'"):
        Interactions.from_frame(pairs, weight="star")
    with pytest.raises(DataError, match="user='user_id'"):
        Interactions.from_frame(pairs, user="userid")
    with pytest.raises(DataError, match="'user_id' .*several"):
        Interactions.from_frame(pairs[["user_id", "user_id", "item_id"]])
    with pytest.raises(DataError, match="user.* item.* different columns"):
        Interactions.from_frame(pairs, user="item_id")
    assert not Interactions.from_frame(frame([(1, 2, 3, 4)]), weight=None, time=None).weighted


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([1, np.nan, np.nan], {}, "'weight' .*missing .*2 of 3 .*row 1"),
        ([1, 2, np.inf], {"min_weight": 0}, "'weight' .*inf .*row 2"),
        ([1, 0, -1], {}, r"found 0.* at row 1 \(2 .*min_weight="),
        ([1, 0, 2], {"min_weight": 0}, "weights .*> 0"),
        ([1e39, 1, 1], {}, "fit in float32"),
        ([1e-50, 1, 1], {}, "> 0.* 1e-50"),
        ([1, 2, 3], {"min_weight": 4}, "weight >= 4.* 3$"),
        (["a", "b", "c"], {}, "numbers.* column 'weight' .*'a'"),
        ([True, True, True], {}, "numbers.* column 'weight' .*bool"),
        ([1, 2, 3], {"min_weight": 2, "weight": None}, "min_weight= .*weight column"),
    ],
)
def test_bad_weights(weights, options, message):
    data = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "weight": weights})
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(data, **options)


@pytest.mark.parametrize("value", ["4", float("nan"), True, pd.NA])
def test_a_min_weight_that_is_no_number_is_named(value):
    with pytest.raises(ConfigError) as caught:
        Interactions.from_frame(frame([(1, "a", 3, 0)]), min_weight=value)
    assert caught.value.parameter == "min_weight" and caught.value.value is value


def test_min_weight_keeps_equal_weights_and_drops_what_is_left_empty():
    records = frame([(1, "a", 3.3, 0), (2, "b", -1.0, 0), (3, "a", 4.0, 0)])
    data = Interactions.from_frame(records.astype({"weight": "float32"}), min_weight=3.3)
    assert data.users.ids.tolist() == [1, 3]
    assert data.items.ids.tolist() == ["a"]


RERATED = [(1, 7, 5, 1), (1, 7, 1, 2), (2, 8, 5, 1), (2, 9, 2, 1), (2, 9, 2, 3), (3, 9, -1, 1)]


@pytest.mark.parametrize(
    ("duplicates", "kept"),
    [
        ("last", [[2, 8, 5, 1]]),  # user 1 has rated item 7 again, with 1
        ("first", [[1, 7, 5, 1], [2, 8, 5, 1]]),
        ("sum", [[1, 7, 6, 2], [2, 8, 5, 1], [2, 9, 4, 3]]),  # 2 + 2 plays of item 9
        ("max", [[1, 7, 5, 1], [2, 8, 5, 1]]),
    ],
)
def test_min_weight_acts_after_repeated_pairs_are_merged(duplicates, kept):
    data = Interactions.from_frame(frame(RERATED), duplicates=duplicates, min_weight=4)
    assert data.to_frame().to_numpy().tolist() == kept
    assert data.users.ids.tolist() == sorted({row[0] for row in kept})
    assert data.items.ids.tolist() == sorted({row[1] for row in kept})
    positive = frame([row for row in RERATED if row[2] > 0])
    later = Interactions.from_frame(positive, duplicates=duplicates).filter(min_weight=4)
    assert later.fingerprint() == data.fingerprint()


def test_a_row_of_low_weight_takes_an_earlier_one_back():
    taken_back = frame([(1, "a", 1, 1), (1, "a", -1, 2), (1, "b", 1, 1)])
    data = Interactions.from_frame(taken_back, min_weight=1)
    assert data.items.ids.tolist() == ["b"]
    users = IdMap([1, 2], what="user")
    assert Interactions.from_frame(taken_back, min_weight=1, users=users).users is users
    with pytest.raises(DataError, match="> 0.* -0.5"):
        both = frame([(1, "a", 1, 1), (1, "a", -1.5, 2)])
        Interactions.from_frame(both, duplicates="sum", min_weight=-1)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_dates_become_nanoseconds_whatever_their_resolution(zone):
    moment = pd.Timestamp("1970-01-02", tz="UTC").tz_convert(zone)
    column = pd.Series([moment]).dt.as_unit("s")
    data = Interactions.from_frame(
        pd.DataFrame({"user_id": [1], "item_id": [1], "timestamp": column})
    )
    assert data.times.tolist() == [86_400 * 10**9]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1.5, 2.0], "1.5 at row 0"),
        ([1.0, np.nan], "'timestamp' .*missing .*1 of 2 .* row 1"),
        (["2020-01-01", "yesterday"], r"'timestamp' .*'yesterday' .*row 1 "),
        (["2020-01-01", "2020-01-01T00:00Z"], r"'2020-01-01T00:00Z' .*row 1 "),
        (["1577836800", "1577836801"], r"'1577836800' .*row 0 .*2 "),
        (pd.to_datetime(["2020-01-01", None]), "'timestamp' .*missing .*1 of 2 .* row 1"),
        (np.array(["9999-01-01"] * 2, dtype="M8[s]"), "outside .*years"),
        ([True, False], "is bool"),
        ([2**63, 1], "numbers .*dates"),
    ],
)
def test_bad_times(times, message):
    data = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": times})
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(data)


def test_whole_floats_are_times():
    data = Interactions.from_frame(frame([(1, 1, 1, 7.0)]))
    assert data.times.tolist() == [7] and data.times.dtype == np.int64


def test_known_maps_are_kept_and_unknown_ids_refused():
    items = IdMap(["c", "b", "a"], what="item")
    records = frame([(1, "a", 1, 0), (2, "b", 5, 0)])
    data = Interactions.from_frame(records, items=items, min_weight=5)
    assert data.items is items
    assert data.matrix.toarray().tolist() == [[0, 5, 0]]
    with pytest.raises(DataError, match="unknown item 'a' at row 0"):
        Interactions.from_frame(records, items=IdMap(["b"], what="item"))


def test_an_empty_frame_and_another_object_are_refused():
    with pytest.raises(DataError, match="no rows"):
        Interactions.from_frame(frame([]))
    with pytest.raises(DataError, match="table .*, not list"):
        Interactions.from_frame([(1, 2)])


@pytest.mark.parametrize("few", [0, 100])
def test_with_and_without_threads(few, monkeypatch):
    monkeypatch.setattr(entries, "FEW_ROWS", few)
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda self: (started.append(self.name), start(self))[1]
    )
    given = pd.DataFrame({"user_id": [2, 1, 2], "item_id": ["b", "a", "a"], "weight": [1, 2, 3.0]})
    data = Interactions.from_frame(given)
    assert data.users.ids.tolist() == [1, 2] and data.items.ids.tolist() == ["a", "b"]
    assert data.matrix.toarray().tolist() == [[2, 0], [3, 1]]
    assert bool(started) == (few < len(given))
    with pytest.raises(DataError, match="item ids .*missing in 1 of 3 .* row 1"):
        Interactions.from_frame(given.assign(item_id=["b", None, "a"]))


def test_repeated_rows_are_counted_once_and_only_under_the_default_rule():
    records = frame([(1, 7, 1, 1), (1, 7, 1, 2), (1, 7, 1, 3), (2, 8, 1, 1), (2, 9, 1, 1)])
    with pytest.warns(RepeatedRows, match="2 of 5 ") as caught:
        Interactions.from_frame(records)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for duplicates in ("sum", "max", "first"):
            Interactions.from_frame(records, duplicates=duplicates)
        Interactions.from_frame(records.drop_duplicates(["user_id", "item_id"]))


@pytest.mark.parametrize(
    ("column", "role"),
    [("rating", "weight"), ("Rating", "weight"), ("date", "time"), ("Timestamp", "time")],
)
def test_a_column_that_looks_used_and_is_not_is_named(column, role):
    records = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], column: [5, 1]})
    with pytest.warns(UnusedColumn, match=f"{column!r}.*{role}={column!r}.*{role}=None") as caught:
        Interactions.from_frame(records)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Interactions.from_frame(records, **{role: column})
        Interactions.from_frame(records, **{role: None})


def test_the_levels_of_an_index_are_columns():
    plays = pd.Series([1, 1, 2], index=["a", "a", "b"]).groupby(level=0).sum()
    counted = plays.rename_axis("user_id").to_frame("weight").assign(item_id=[7, 8])
    assert Interactions.from_frame(counted).to_frame().to_numpy().tolist() == [
        ["a", 7, 2.0],
        ["b", 8, 2.0],
    ]


@pytest.mark.parametrize(
    ("weights", "message"),
    [([10**400, 2], "inf .*row 0"), ([1 + 2j, 1], r"1\+2j.*complex.* row 0"), ([True, 2], "True")],
)
def test_objects_that_are_no_weights_are_named(weights, message):
    records = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    records["weight"] = pd.Series(weights, dtype=object)
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(records)


def test_times_beyond_64_bits_are_not_wrapped():
    data = Interactions.from_frame(frame([(1, "a", 1, 0)]))
    with pytest.raises(DataError, match="9223372036854775808"):
        Interactions(data.matrix, data.users, data.items, np.array([2**63], np.uint64))
