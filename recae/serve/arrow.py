"""Arrow IPC streams of histories and lists; the claims of a stream are checked before reading."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recae.data import IdMap
from recae.errors import DataError
from recae.serve.refusals import invalid, unreadable
from recae.serve.settings import Settings
from recae.serve.shelf import Served

COLUMNS = ("user_id", "item_id")
RECORDS, DICTIONARY = 3, 2  # MessageHeader of Arrow's Message.fbs
COMPRESSION = 3  # the field of RecordBatch


@dataclass(frozen=True, eq=False)
class Histories:
    """The histories of a stream: distinct users, ascending, and their items, row by row.

    users: (users,) ids; rows: (interactions,) the place of the user; items: the column of item ids.
    """

    users: IdMap
    rows: np.ndarray
    items: pa.ChunkedArray


def read_histories(body: bytes, settings: Settings) -> Histories:
    """The histories of a stream with the columns user_id and item_id. For a thread.

    Raises Refused: 400 for what is no such stream, 422 for other columns, missing ids, and more
    users or interactions than the service takes.
    """
    table = read_table(body, settings.max_batch * settings.max_history)
    try:
        users, rows = IdMap.from_values(table["user_id"], "user")
    except DataError as error:
        raise invalid(str(error), "user_id") from None
    if len(users) > settings.max_batch:
        raise invalid(
            f"the stream has {len(users):,} users; this service takes at most "
            f"{settings.max_batch:,} at once",
            "user_id",
        )
    longest = np.bincount(rows).max() if len(rows) else 0
    if longest > settings.max_history:
        raise invalid(
            f"a history has {longest:,} items; this service takes at most {settings.max_history:,}",
            "item_id",
        )
    return Histories(users, rows, table["item_id"])


def read_table(body: bytes, most: int) -> pa.Table:
    """The table of a stream: uncompressed, with the two columns, and at most that many rows."""
    try:
        check_claims(body, most)
        with pa.ipc.open_stream(body) as reader:
            check_columns(reader.schema)
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, struct.error, OSError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise unreadable(f"the body is no Arrow stream: {reason}") from None
    return table


def check_columns(schema: pa.Schema) -> None:
    """Raises Refused (422) unless there are user_id and item_id, integers or text."""
    names = schema.names
    if sorted(names) != sorted(COLUMNS):
        raise invalid(
            f"the columns must be user_id and item_id, not {', '.join(map(str, names)) or 'none'}"
        )
    for one in schema:
        kind = one.type.value_type if pa.types.is_dictionary(one.type) else one.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not (text or pa.types.is_integer(kind)):
            raise invalid(f"{one.name} must be integers or text, not {one.type}", one.name)


def check_claims(body: bytes, most: int) -> None:
    """Raises Refused for compressed buffers, whose size nobody knows, and for too many rows."""
    total = 0
    for message in pa.ipc.MessageReader.open_stream(body):
        metadata = message.metadata.to_pybytes()
        root = struct.unpack_from("<I", metadata, 0)[0]
        kind = _number(metadata, root, 1, "<B")
        if kind not in (RECORDS, DICTIONARY):
            continue
        header = _table(metadata, root, 2)
        if kind == DICTIONARY:
            header = _table(metadata, header, 1)
        if _field(metadata, header, COMPRESSION):
            raise unreadable("the buffers of the Arrow stream are compressed: write it without")
        rows = _number(metadata, header, 0, "<q")
        total += rows
        if rows < 0 or total > most:
            raise invalid(f"the stream has more than {most:,} rows, the limit of this service")


def _field(data: bytes, table: int, field: int) -> int:
    """The place of a field of a flatbuffers table; 0 where it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * field >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", data, vtable + 4 + 2 * field)[0]
    return table + offset if offset else 0


def _number(data: bytes, table: int, field: int, form: str) -> int:
    place = _field(data, table, field)
    return int(struct.unpack_from(form, data, place)[0]) if place else 0


def _table(data: bytes, table: int, field: int) -> int:
    place = _field(data, table, field)
    return place + int(struct.unpack_from("<I", data, place)[0])


def recommend(
    histories: Histories,
    choose: Callable[[Any], Served],
    k: int,
    exclude_seen: bool,
) -> pa.Table:
    """The lists of all users: user_id, item_id, score (float32) and rank (int32, from 1).

    choose: the model of a user. The metadata of the schema have the models, their versions, and the
    number of ids that are unknown.
    """
    users = histories.users.ids
    models = [choose(user) for user in users.tolist()] or [choose(None)]
    distinct = {id(served): served for served in models}
    which = np.array([id(served) for served in models])[: len(users)]
    parts, unknown = [], 0
    for key, served in distinct.items():
        rows = np.flatnonzero(which == key)
        matrix, missing = _matrix(histories, rows, served)
        top = served.model.recommend_array(
            matrix, k, exclude_seen=exclude_seen, on_unknown="popular"
        )
        row, place = np.nonzero(top.items >= 0)
        items = served.model.items_.ids[top.items[row, place]]
        parts.append((rows[row], items, top.scores[row, place], place + 1))
        unknown += missing
    metadata = {
        "model": ",".join(served.name for served in distinct.values()),
        "version": ",".join(served.version for served in distinct.values()),
        "unknown": str(unknown),
    }
    return _table_of(users, parts, metadata)


def _matrix(histories: Histories, rows: np.ndarray, served: Served) -> tuple[Any, int]:
    """The histories of some users as CSR of ones, and the number of ids that are unknown."""
    place = np.full(len(histories.users), -1)
    place[rows] = np.arange(len(rows))
    try:
        codes = served.model.items_.lookup(histories.items)
    except DataError as error:
        raise invalid(str(error), "item_id") from None
    mine = place[histories.rows] >= 0
    some = mine & (codes >= 0)
    cells = place[histories.rows[some]], codes[some]
    shape = (len(rows), len(served.model.items_))
    matrix = sp.csr_matrix((np.ones(int(some.sum()), np.float32), cells), shape=shape)
    matrix.data[:] = 1  # an item may be named twice
    return matrix, int((mine & (codes < 0)).sum())


def _table_of(
    users: np.ndarray, parts: Sequence[tuple[np.ndarray, ...]], metadata: Mapping[str, str]
) -> pa.Table:
    """The lists of several groups of users as one table, in the order of the request."""
    row, items, scores, ranks = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    columns = {
        "user_id": ids_column(users[row[order]]),
        "item_id": ids_column(items[order]),
        "score": pa.array(scores[order], pa.float32()),
        "rank": pa.array(ranks[order], pa.int32()),
    }
    return pa.table(columns).replace_schema_metadata(dict(metadata))


def ids_column(ids: Any) -> pa.Array:
    """Ids as a column, int64 or string."""
    values = np.asarray(ids)
    return pa.array(values, pa.int64() if values.dtype == np.int64 else pa.string())


def of_answers(users: Iterable[Any], answers: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The lists of JSON answers as the same table. Raises Refused (422) for ids of both kinds."""
    rows = [
        (user, item["item_id"], item["score"], item["rank"])
        for user, answer in zip(users, answers, strict=True)
        for item in answer["items"]
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    for column in columns[:2]:
        if len({type(one) for one in column}) > 1:
            raise invalid("an Arrow stream has ids of one kind: all integers or all text")
    ids = [pa.array(column) if column else pa.array([], pa.int64()) for column in columns[:2]]
    score, rank = pa.array(columns[2], pa.float32()), pa.array(columns[3], pa.int32())
    return pa.table({"user_id": ids[0], "item_id": ids[1], "score": score, "rank": rank})


def as_answers(table: pa.Table) -> list[dict[str, Any]]:
    """The lists of a table for JSON: the user and the items of each."""
    lists: dict[Any, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        lists.setdefault(row.pop("user_id"), []).append(row)
    return [{"user": user, "items": items} for user, items in lists.items()]


def as_stream(table: pa.Table) -> bytes:
    """A table as an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
