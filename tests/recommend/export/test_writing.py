"""Rows, row groups and parts; errors of a writer reach its caller, and nothing of it stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recae import EASE, Interactions
from recae.errors import StorageError
from recae.ranking.top_k import TopK
from recae.recommend.export import run, writing
from recae.recommend.export.lists import columns, rows_of
from recae.recommend.export.writing import PartWriter, Rows, Writers

SCHEMA = pa.schema([("user_id", pa.int64()), ("item_id", pa.int64())])


def rows(first: int, users: int) -> Rows:
    ids = np.arange(first, first + users)
    return Rows(pa.table([pa.array(ids), pa.array(ids * 2)], schema=SCHEMA), users, 0)


def threads() -> int:
    return sum(thread.name == "recae export" for thread in threading.enumerate())


def test_rows_are_those_of_the_lists() -> None:
    items = np.array([[2, 0, -1], [-1, -1, -1], [1, 2, 0]], dtype=np.int32)
    scores = np.where(items >= 0, np.arange(9).reshape(3, 3), -np.inf).astype(np.float32)
    owners, ids = np.array(["a", "b", "c"], dtype=object), np.array([10, 11, 12])
    schema, listed = columns("recommendations", owners, ids, ["x", None, "z"])
    found = rows_of(schema, owners, listed, TopK(items, scores))
    assert (found.users, found.users_without_rows) == (3, 1)
    assert found.table.to_pydict() == {
        "user_id": ["a", "a", "c", "c", "c"],
        "item_id": [12, 10, 11, 12, 10],
        "score": [0.0, 1.0, 6.0, 7.0, 8.0],
        "rank": [1, 2, 1, 2, 3],
        "title": ["z", "x", None, "z", "x"],
    }


@pytest.mark.parametrize("k", [1, 7, 100, 5000, 10**7])
@pytest.mark.parametrize("batch", [1, 64, 4096, 10**6])
def test_sizes_are_multiples(k: int, batch: int) -> None:
    step, group, part = run.sizes(k, batch)
    assert step == min(batch, run.PART_USERS) and group % step == part % group == 0
    assert part <= run.PART_USERS and (group == step or group * k <= writing.GROUP_ROWS)
    assert part == group or part * k <= run.PART_ROWS


def test_groups_of_users_are_row_groups(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    counts: list[dict[str, int]] = []
    with Writers() as writers:
        writer = PartWriter(file, SCHEMA, 6, written=counts.append)
        writers.begin(writer)
        for first in range(0, 20, 3):
            writers.put(writer, lambda first=first: rows(first, 3))
        writers.put(writer, None)
    metadata = pq.read_metadata(file)
    assert [metadata.row_group(group).num_rows for group in range(4)] == [6, 6, 6, 3]
    assert counts == [{"users": 21, "rows": 21, "users_without_rows": 0}]
    assert pq.read_table(file)["item_id"].to_pylist() == [2 * user for user in range(21)]
    assert threads() == 0


def test_an_error_of_a_writer_is_raised_at_the_next_batch(tmp_path: Path) -> None:
    def broken() -> Rows:
        raise OSError(28, "No space left on device")

    handed = 0
    with pytest.raises(StorageError, match="No space"), Writers() as writers:
        writer = PartWriter(tmp_path / "part.parquet", SCHEMA, 6)
        writers.begin(writer)
        writers.put(writer, broken)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            writers.put(writer, lambda: rows(0, 3))
            handed += 1
    assert handed < 1000 and threads() == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("ctrl_c", [False, True])
def test_nothing_goes_on_when_the_end_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: bool
) -> None:
    failed = threading.Event()

    def broken() -> Rows:
        failed.set()
        raise OSError(28, "No space left on device")

    def late() -> Rows:
        failed.wait()
        time.sleep(0.05)
        return rows(0, 3)

    def interrupted(self: Writers, writer: PartWriter) -> None:
        raise KeyboardInterrupt

    if ctrl_c:
        monkeypatch.setattr(Writers, "_wait_for", interrupted)
    with pytest.raises((StorageError, KeyboardInterrupt)), Writers() as writers:
        for number, batch in enumerate((broken, late)):
            writer = PartWriter(tmp_path / f"part-{number}.parquet", SCHEMA, 6)
            writers.begin(writer)
            for some in (batch, None):
                writer.batches.put(some)
            writer.ended = True
    assert threads() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["part-1.parquet"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_what_was_begun_is_given_up_and_what_is_done_stays(tmp_path: Path, error: type) -> None:
    with pytest.raises(error), Writers() as writers:
        for number in range(2):
            writer = PartWriter(tmp_path / f"part-{number}.parquet", SCHEMA, 6)
            writers.begin(writer)
            writers.put(writer, lambda: rows(0, 3))
            if number == 0:
                writers.put(writer, None)
        raise error
    assert threads() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["part-0.parquet"]


def test_a_writer_that_fails_ends_the_export(
    text_data: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = EASE(l2=3.0).fit(text_data)
    monkeypatch.setattr(run, "PART_USERS", 5)
    usual, made = writing.parquet_writer, iter(range(99))

    def failing(file: Path, schema: pa.Schema) -> object:
        if next(made) == 3:
            raise OSError(122, "Disk quota exceeded")
        return usual(file, schema)

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="quota"):
        patch.setattr(writing, "parquet_writer", failing)
        model.export(tmp_path / "lists", k=4, batch_size=5)
    done = {file.name for file in (tmp_path / "lists").iterdir()}
    assert {"_job.json", "_parts.jsonl", "part-00000.parquet"} <= done
    assert not [name for name in done if name.startswith(".") or name == "_SUCCESS"]
    model.export(tmp_path / "lists", k=4, batch_size=5)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="quota"):
        made = iter([3] * 99)  # all parts: another one might be complete before the error
        patch.setattr(writing, "parquet_writer", failing)
        model.export(tmp_path / "none", k=4, batch_size=5)
    assert {file.name for file in tmp_path.iterdir()} == {"lists"}  # nothing was complete
