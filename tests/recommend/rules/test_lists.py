"""Rules of lists: unknown ids in them, and items that single users must not be given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Interactions, RecaeWarning

ITEMS = ["a", "b", "c", "d"]
DATA = Interactions.from_csr(
    sp.csr_matrix([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]),
    users=["u", "v", "w", "x"],
    items=ITEMS,
)
MODEL = recae.EASE(l2=1).fit(DATA)
BLOCKED = {"u": ["b"], "w": ("d",), "nobody": ["a"]}
ROWS = pd.DataFrame({"user_id": ["u", "w", "nobody"], "item_id": ["b", "d", "a"]})


def lists(**options) -> dict[str, set[str]]:
    frame = MODEL.recommend(k=9, **options)
    found = frame.groupby("user_id")["item_id"].agg(set).to_dict()
    return {user: found.get(user, set()) for user in DATA.users.ids}


@pytest.mark.parametrize(
    "blocked",
    [
        BLOCKED,
        ROWS,
        pl.from_pandas(ROWS),
        pa.Table.from_pandas(ROWS),
        ROWS.assign(weight=0, timestamp="never"),  # columns that say nothing here
        Interactions.from_frame(ROWS),
        pd.concat([ROWS, ROWS]),
        {"u": {"b"}, "w": np.array(["d", "d"]), "v": []},
    ],
)
def test_items_are_excluded_for_single_users(blocked) -> None:
    assert lists(exclude_items=blocked) == {
        "u": {"c", "d"},
        "v": {"a", "c", "d"},
        "w": set(),
        "x": {"c"},
    }
    some = lists(exclude_items=blocked, exclude_seen=False, items=["a", "b", "d"])
    assert some == {"u": {"a", "d"}, "v": {"a", "b", "d"}, "w": {"a", "b"}, "x": {"a", "b", "d"}}


def test_arrays_and_files_obey_them_too(tmp_path) -> None:
    expected = MODEL.recommend(k=4, exclude_items=BLOCKED)
    top = MODEL.recommend_array(DATA, 4, exclude_items=BLOCKED)
    rows, places = np.nonzero(top.items >= 0)
    assert top.users[rows].tolist() == expected["user_id"].tolist()
    assert MODEL.items_.ids[top.items[rows, places]].tolist() == expected["item_id"].tolist()
    path = tmp_path / "top.parquet"
    for checkpoint in (None, tmp_path / "parts"):
        MODEL.export(path, k=4, exclude_items=BLOCKED, checkpoint=checkpoint, overwrite=True)
        found = pq.read_table(path)
        assert found["item_id"].to_pylist() == expected["item_id"].tolist()


@pytest.mark.parametrize(
    "nothing", [{}, {"u": []}, {"other": ["a"]}, ROWS[:0], pl.from_pandas(ROWS[:0])]
)
def test_no_exclusions_exclude_nothing(nothing) -> None:
    pd.testing.assert_frame_equal(MODEL.recommend(exclude_items=nothing), MODEL.recommend())


def test_a_user_asked_for_twice_is_served_twice() -> None:
    frame = MODEL.recommend(["u", "v", "u"], k=1, exclude_items={"u": ["b", "c"]})
    assert frame["item_id"].tolist()[::2] == ["d", "d"]


def test_unknown_items_of_single_users() -> None:
    given = {"u": ["b", "new"], "v": ["newer"]}
    with pytest.warns(RecaeWarning, match="2 of 3 .*exclude_items .*'new'") as caught:
        found = MODEL.recommend(exclude_items=given)
    assert len(caught) == 1
    pd.testing.assert_frame_equal(found, MODEL.recommend(exclude_items={"u": ["b"]}))
    with pytest.raises(DataError, match="unknown item 'new'"):
        MODEL.recommend(exclude_items=given, on_unknown_items="raise")
    with pytest.raises(ConfigError) as error:
        MODEL.recommend(on_unknown_items="skip")
    assert error.value.parameter == "on_unknown_items"


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"items": {"u": ["a"]}}, "items"),
        ({"items": ROWS}, "items"),
        ({"exclude_items": {"u": "a"}}, "exclude_items"),
        ({"exclude_items": {"u": 5}}, "exclude_items"),
        ({"exclude_items": {"user_id": ["u"], "item_id": ["a"]}}, "exclude_items"),
        ({"users": ROWS}, "users"),
        ({"users": DATA}, "users"),
        ({"users": DATA.matrix}, "users"),
    ],
)
def test_what_is_no_rule_names_its_parameter(options, parameter) -> None:
    with pytest.raises(DataError) as error:
        MODEL.recommend(**options)
    assert error.value.parameter == parameter


def test_ids_of_another_kind_are_a_mistake() -> None:
    for given in ({1: ["a"]}, {"u": [1]}):
        with pytest.raises(DataError, match="integers .*cast"):
            MODEL.recommend(exclude_items=given)


@pytest.mark.parametrize(
    "history",
    [["a", "b"], ("b", "a", "a"), {"a", "b"}, np.array(["a", "b"]), pd.Series(["a", "b"]),
     pd.Index(["b", "a"]), pl.Series(["a", "b"]), pa.array(["a", "b"]), iter(["a", "b"])],
)  # fmt: skip
def test_a_list_of_items_is_the_history_of_user_0(history) -> None:
    expected = MODEL.recommend(history=sp.csr_matrix([[1.0, 1, 0, 0]]))
    found = MODEL.recommend(history=history)
    pd.testing.assert_frame_equal(found, expected)
    assert found["user_id"].tolist() == [0, 0]


def test_histories_by_user_keep_their_order() -> None:
    top = MODEL.recommend_array({"z": ["a"], "b": ["c", "c"], "a": ["b", "d"]}, 2)
    assert top.users.tolist() == ["z", "b", "a"]
    one = [MODEL.recommend_array(items, 2).items[0] for items in (["a"], ["c"], ["d", "b"])]
    np.testing.assert_array_equal(top.items, one)
    assert MODEL.score(["a"]).shape == (1, 4)


def test_unknown_items_in_a_list_are_counted() -> None:
    with pytest.warns(RecaeWarning, match="1 of 2 .*1 items.*'new'"):
        found = MODEL.recommend(history=["a", "new"])
    pd.testing.assert_frame_equal(found, MODEL.recommend(history=["a"]))
    with pytest.raises(DataError, match="1 of 1 users .* 0: .*on_unknown"):
        MODEL.recommend(history=[])


def test_a_row_without_an_id_says_whose_it_is() -> None:
    for history in (DATA.matrix[3], ["a"]):
        with pytest.raises(DataError, match="unknown user 7 .*0 to 0.*users") as error:
            MODEL.recommend(7, k=5, history=history)
        assert error.value.parameter == "users"


@pytest.mark.parametrize("ids", [pl.Series(["b"]), pa.chunked_array([["b"]])])
def test_a_column_of_another_library_is_a_list_of_ids(ids: object) -> None:
    expected = MODEL.recommend(history=["a"], exclude_items=["b"])
    pd.testing.assert_frame_equal(MODEL.recommend(history=["a"], exclude_items=ids), expected)


def test_exclusions_of_users_of_another_kind_are_at_fault() -> None:
    with pytest.raises(DataError, match="integers here .*7.* text .*'u'"):
        MODEL.recommend(["u"], exclude_items={7: ["b"]})
