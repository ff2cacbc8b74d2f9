"""Arrow streams: their claims are checked before they are read, and their lists are the model's."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.serve import Settings, Shelf
from recae.serve.arrow import (
    as_answers,
    as_stream,
    check_claims,
    of_answers,
    read_histories,
    recommend,
)
from recae.serve.refusals import Refused

LIMITS = Settings(max_batch=4, max_history=5)


def stream(table: Any, options: Any = None, rows: int | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, rows)
    return sink.getvalue()


def columns(**given: Any) -> bytes:
    return stream(pa.table(given))


def refused(body: bytes, settings: Settings = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        read_histories(body, settings)
    return caught.value


def pairs(body: bytes, settings: Settings = LIMITS) -> list[tuple[Any, Any]]:
    found = read_histories(body, settings)
    users = found.users.ids[found.rows].tolist()
    return [*zip(users, found.items.to_pylist(), strict=True)]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint16(), pa.uint64()])
def test_integers_of_any_size_are_ids(kind: Any) -> None:
    body = columns(user_id=pa.array([7, 3, 7], kind), item_id=pa.array([1, 2, 2], kind))
    assert pairs(body) == [(7, 1), (3, 2), (7, 2)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), "dictionary"])
def test_text_of_any_form_is_ids(kind: Any) -> None:
    users, items = (pa.array(one) for one in (["b", "a", "b"], ["x", "y", "y"]))
    if kind == "dictionary":
        body = columns(user_id=users.dictionary_encode(), item_id=items.dictionary_encode())
    else:
        body = columns(user_id=users.cast(kind), item_id=items.cast(kind))
    found = read_histories(body, LIMITS)
    assert found.users.ids.tolist() == ["a", "b"]
    assert found.users.ids[found.rows].tolist() == ["b", "a", "b"]
    assert found.items.to_pylist() == ["x", "y", "y"]


def test_the_order_of_the_columns_and_the_number_of_batches_are_free() -> None:
    table = pa.table({"item_id": [1, 2, 3, 4], "user_id": [5, 5, 6, 6]})
    for rows in (1, 3, None):
        assert pairs(stream(table, rows=rows)) == [(5, 1), (5, 2), (6, 3), (6, 4)]
    assert pairs(stream(table.slice(0, 0))) == []


@pytest.mark.parametrize(
    "names",
    [
        *(["user", "item_id"], ["user_id"], ["item_id"], [], ["user_id", "item_id", "weight"]),
        *(["user_id", "user_id"], ["User_id", "item_id"], ["user_id ", "item_id"]),
        *(["user_id", "item_id", "item_id"], ["é", "\0"], ["", ""], ["x" * 9000, "item_id"]),
    ],
)
def test_other_columns_are_refused(names: list[str]) -> None:
    found = refused(stream(pa.table([pa.array([1])] * len(names), names=names)))
    assert found.status == 422
    assert "user_id" in found.message and "item_id" in found.message
    assert all(name in found.message for name in names)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("item_id", pa.array([1.0, 2.0])),
        ("item_id", pa.array([True, False])),
        ("user_id", pa.array([b"a", b"b"])),
        ("user_id", pa.array([[1], [2]])),
        ("user_id", pa.array([0, 1], pa.timestamp("s"))),
        ("item_id", pa.array([1.5, 2.5]).dictionary_encode()),
        ("item_id", pa.nulls(2)),
        ("user_id", pa.array([1, None])),
        ("user_id", pa.array(["a", None])),
        ("user_id", pa.array([2**63, 1], pa.uint64())),
    ],
)
def test_what_is_no_id_is_refused_with_its_column(name: str, values: Any) -> None:
    given = {"user_id": pa.array([1, 2]), "item_id": pa.array([1, 2])} | {name: values}
    found = refused(columns(**given))
    assert (found.status, found.parameter) == (422, name)


@pytest.mark.parametrize("values", [pa.array([1, None]), pa.array([2**63, 1], pa.uint64())])
def test_items_that_are_no_ids_are_refused_by_the_model(values: Any, shelf: Shelf) -> None:
    histories = read_histories(columns(user_id=pa.array([1, 2]), item_id=values), LIMITS)
    with pytest.raises(Refused) as caught:
        recommend(histories, lambda user: shelf.get("ease"), 3, True)
    assert (caught.value.status, caught.value.parameter) == (422, "item_id")


@pytest.mark.parametrize(
    ("users", "status", "parameter"),
    [
        ([1, 2, 3, 4], None, None),
        ([1, 2, 3, 4, 5], 422, "user_id"),
        ([1] * 5, None, None),
        ([1] * 6, 422, "item_id"),
        ([*range(4)] * 5, None, None),
        ([*range(4)] * 5 + [0], 422, None),
    ],
)
def test_limits_hold(users: list[int], status: int | None, parameter: str | None) -> None:
    body = columns(user_id=users, item_id=[*range(len(users))])
    if status is None:
        assert len(pairs(body)) == len(users)
    else:
        found = refused(body)
        assert (found.status, found.parameter) == (status, parameter)


def test_rows_are_counted_over_all_batches_without_reading_them() -> None:
    table = pa.table({"user_id": [1] * 30, "item_id": [*range(30)]})
    body = stream(table, rows=10)
    check_claims(body, 30)
    with pytest.raises(Refused) as caught:
        check_claims(body, 29)
    assert caught.value.status == 422


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused(codec: str) -> None:
    if not pa.Codec.is_available(codec):
        pytest.skip(f"pyarrow is built without {codec}")
    table = pa.table({"user_id": [1] * 4000, "item_id": [1] * 4000})
    body = stream(table, pa.ipc.IpcWriteOptions(compression=codec))
    assert refused(body, Settings()).status == 400


def test_a_claim_of_many_rows_is_refused_before_memory_is_spent() -> None:
    rows = 12_345
    body = columns(user_id=[1] * rows, item_id=[1] * rows)
    lying = body.replace(struct.pack("<q", rows), struct.pack("<q", 1 << 60))
    assert lying != body
    assert refused(lying, Settings(max_history=rows)).status in (400, 422)


def test_a_spoiled_stream_is_refused_or_read_and_nothing_else() -> None:
    body = columns(user_id=[1, 1, 2], item_id=[1, 2, 3])
    rng = np.random.default_rng(0)
    for length in range(0, len(body) - 8, 7):  # the last 8 bytes are its end, which may be missing
        assert refused(body[:length]).status in (400, 422)
    statuses = set()
    for _ in range(300):
        found = bytearray(body)
        found[rng.integers(len(found))] = rng.integers(256)
        try:
            read_histories(bytes(found), LIMITS)
        except Refused as fault:
            statuses.add(fault.status)
    assert statuses <= {400, 422} and statuses


def test_lists_are_those_of_each_users_model(shelf: Shelf, ease: Any) -> None:
    frame = pd.DataFrame({"user_id": [9, 9, 4, 9, 7], "item_id": [1, 2, 3, 2, 999]})
    histories = read_histories(stream(pa.Table.from_pandas(frame)), LIMITS)
    table = recommend(histories, lambda user: shelf.get("ease"), 3, True)
    assert table.schema.types == [pa.int64(), pa.int64(), pa.float32(), pa.int32()]
    assert table.column_names == ["user_id", "item_id", "score", "rank"]
    for user, history in ((4, [3]), (7, [999]), (9, [1, 2])):
        mine = table.filter(pa.compute.equal(table["user_id"], user))
        ids, scores = ease.recommend_ids(history, 3)
        assert mine["item_id"].to_pylist() == ids
        assert mine["score"].to_pylist() == pytest.approx(scores, rel=1e-5)
        assert mine["rank"].to_pylist() == [1, 2, 3]
    about = table.schema.metadata
    assert about == {
        **{b"model": b"ease", b"unknown": b"1"},
        b"version": ease.fingerprint().encode(),
    }


def test_users_of_two_models_are_in_one_table(places: Any, shelf: Shelf) -> None:
    two = Shelf({"a": places["ease"], "b": places["ease"]})
    body = columns(user_id=[1, 2, 3], item_id=[4, 5, 6])
    table = recommend(
        read_histories(body, LIMITS), lambda user: two.get("b" if user == 2 else "a"), 2, True
    )
    assert table["user_id"].to_pylist() == [1, 1, 2, 2, 3, 3]
    assert sorted(table.schema.metadata[b"model"].split(b",")) == [b"a", b"b"]
    none = pa.array([], pa.int64())
    empty = read_histories(columns(user_id=none, item_id=none), LIMITS)
    assert recommend(empty, lambda user: two.get("b"), 2, True).num_rows == 0
    with pytest.raises(Refused) as caught:  # the ids of the other model are texts
        recommend(read_histories(body, LIMITS), lambda user: shelf.get("words"), 2, True)
    assert (caught.value.status, caught.value.parameter) == (422, "item_id")


def test_a_stream_and_the_answers_in_json_hold_the_same() -> None:
    items = [
        {"item_id": 5, "score": 0.5, "rank": 1},
        {"item_id": 3, "score": -0.25, "rank": 2},
    ]
    table = of_answers(["u", "v"], [{"items": items}, {"items": items[:1]}])
    back = pa.ipc.open_stream(as_stream(table)).read_all()
    assert back.equals(table)
    assert as_answers(back) == [{"user": "u", "items": items}, {"user": "v", "items": items[:1]}]
    assert of_answers([], []).num_rows == 0
    for users, one in ((["u", 1], 5), (["u", "v"], "x")):
        mixed = [{"items": items[:1]}, {"items": [{**items[0], "item_id": one}]}]
        with pytest.raises(Refused) as caught:
            of_answers(users, mixed)
        assert caught.value.status == 422
