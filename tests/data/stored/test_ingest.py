"""`recae.ingest` gives the matrix of the readers in memory, bit for bit, in little memory."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recae
from recae.data.stored import coding, id_files, matrix, passes
from recae.data.stored.arrays import blocks
from recae.data.stored.ingest import bytes_of
from recae.data.tables.files import ParquetSource, file_source
from recae.data.tables.sources import as_source
from recae.system import files, locks
from recae.system.files import resumable_directory


def table(text: bool, rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 300, rows), rng.integers(0, 80, rows)
    return pd.DataFrame(
        {
            "user_id": [f"ü{user}" for user in users] if text else users - 150,
            "item_id": [f"{item}" for item in items] if text else items,
            "weight": rng.integers(1, 6, rows).astype(np.float32),
            "timestamp": rng.integers(0, 50, rows),
        }
    )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, runs of ids and parts so small that a small table has many of each, and that the runs
    are merged in two rounds."""
    monkeypatch.setattr(ParquetSource, "block", 257)
    monkeypatch.setattr(coding, "INT_BYTES", 1 << 20)
    monkeypatch.setattr(coding, "TEXT_BYTES", 1 << 20)
    monkeypatch.setattr(coding, "RUN_BLOCK", 7)
    monkeypatch.setattr(coding, "FAN", 3)
    monkeypatch.setattr(id_files, "SOME", 13)
    monkeypatch.setattr(matrix, "blocks", partial(blocks, rows=11))
    monkeypatch.setattr(passes, "ROW_BYTES", (1 << 28) // 100)


def assert_same(stored: recae.Interactions, read: recae.Interactions) -> None:
    for part in ("data", "indices", "indptr"):
        one, two = (getattr(some.matrix, part) for some in (stored, read))
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    assert (stored.times is None) == (read.times is None)
    if read.times is not None:
        np.testing.assert_array_equal(stored.times, read.times)
    for what in ("users", "items"):
        one, two = (getattr(some, what).ids for some in (stored, read))
        assert one.dtype == two.dtype and one.tolist() == two.tolist()
    assert stored.weighted == read.weighted


@pytest.mark.parametrize(
    ("text", "duplicates", "min_weight"),
    [
        (False, "last", None),
        (True, "first", None),
        (False, "sum", 5.0),
        (True, "max", 5.0),
        (True, "sum", None),
    ],
)
@pytest.mark.filterwarnings("ignore::recae.errors.RepeatedRows")
def test_many_runs_and_parts_give_the_matrix_of_the_reader(
    text: bool, duplicates: str, min_weight: float | None, tiny: None, tmp_path: Path
) -> None:
    table(text).to_parquet(tmp_path / "plays.parquet", row_group_size=1000)
    options: dict[str, Any] = {"duplicates": duplicates, "min_weight": min_weight}
    read = recae.read_parquet(tmp_path / "plays.parquet", **options)
    stored = recae.ingest(tmp_path / "plays.parquet", tmp_path / "data", memory=1 << 28, **options)
    assert_same(stored, read)
    opened = recae.open_data(tmp_path / "data", verify=True)
    assert_same(opened, read)
    assert opened.fingerprint() == read.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "plays.parquet"]


@pytest.mark.filterwarnings("ignore::recae.errors.RepeatedRows")
def test_ids_of_dropped_rows_only_are_left_out(tiny: None, tmp_path: Path) -> None:
    frame = table(text=True)
    frame["weight"] = frame["weight"].astype(float)
    frame.loc[frame["user_id"].isin(["ü7", "ü8"]) | (frame["item_id"] == "3"), "weight"] = -1.0
    frame.to_parquet(tmp_path / "plays.parquet", row_group_size=1000)
    with pytest.warns(recae.RecaeWarning):
        stored = recae.ingest(
            tmp_path / "plays.parquet", tmp_path / "data", on_bad_rows="drop", memory=1 << 28
        )
    good = frame[frame["weight"] > 0]
    assert_same(stored, recae.Interactions.from_frame(good))
    assert "ü7" not in stored.users and "3" not in stored.items


@pytest.mark.filterwarnings("ignore::recae.errors.RepeatedRows")
@pytest.mark.parametrize("source", ["frame", "arrow", "csv", "list", "interactions", "folder"])
def test_any_source(source: str, tmp_path: Path) -> None:
    frame = table(text=False, rows=500)
    read = recae.Interactions.from_frame(frame)
    given: Any = frame
    if source == "arrow":
        given = pa.Table.from_pandas(frame).to_reader(max_chunksize=50)
    elif source in ("csv", "list"):
        frame[:200].to_csv(tmp_path / "0.csv.gz", index=False)
        frame[200:].to_csv(tmp_path / "1.csv.gz", index=False)
        files = [tmp_path / "0.csv.gz", tmp_path / "1.csv.gz"]
        given = files if source == "list" else str(tmp_path / "[01].csv.gz")
    elif source in ("interactions", "folder"):
        given = read
    if source == "folder":
        recae.ingest(read, tmp_path / "first")
        given = [str(tmp_path / "first")]
    assert_same(recae.ingest(given, tmp_path / "data of 100%"), read)
    assert_same(recae.read_table(tmp_path / "data of 100%"), read)


def test_ids_of_a_dictionary_that_no_row_has_are_left_out(tmp_path: Path) -> None:
    users = pd.Categorical(["a", "c", "a"], categories=["a", "b", "c"])
    frame = pd.DataFrame({"user_id": users, "item_id": [1, 2, 3]})
    frame.to_parquet(tmp_path / "plays.parquet")
    read = recae.read_parquet(tmp_path / "plays.parquet")
    assert read.users.ids.tolist() == ["a", "c"]
    assert_same(recae.ingest(tmp_path / "plays.parquet", tmp_path / "data"), read)
    assert_same(recae.ingest(pa.Table.from_pandas(frame), tmp_path / "too"), read)


def test_many_runs_need_few_open_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coding, "FAN", 4)
    runs = coding.RunIds("user", tmp_path, 0)
    numbers = [int(runs.encode([run % 50, 7], 0)[0]) for run in range(60)]
    runs.spill()
    assert len(runs.runs) == 60
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (coding.FAN * 2 + 50, limits[1]))
    try:
        with id_files.IdWriter(tmp_path, "user", "int") as out:
            coding.merge(runs.runs, tmp_path, out, tmp_path / "user.codes", None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert np.load(tmp_path / "users.npy").tolist() == list(range(50))
    codes = np.fromfile(tmp_path / "user.codes", np.int32)
    assert codes[numbers].tolist() == [run % 50 for run in range(60)]


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_blocks_fit_the_memory(kind: str, tmp_path: Path) -> None:
    found = list[float]()
    for width in (10, 500):
        plays = pa.table(
            {
                "user_id": [f"{user}".rjust(width) for user in range(5000)],
                "item_id": list(range(5000)),
            }
        )
        if kind == "parquet":
            pq.write_table(plays, tmp_path / "plays.parquet")
            source: Any = file_source(tmp_path / "plays.parquet")
        elif kind == "csv":
            plays.to_pandas().to_csv(tmp_path / "plays.csv", index=False)
            source = file_source(tmp_path / "plays.csv")
        else:
            source = as_source(plays)
        source.limit(["user_id", "item_id"], 1 << 22)
        blocks = [len(block.columns["item_id"]) for block in source.blocks(["user_id", "item_id"])]
        assert sum(blocks) == 5000 and (kind == "arrow" or width < 50 or len(blocks) > 3)
        found.append(max(blocks) * width)
    assert max(found) < 1 << 23


def test_a_data_folder_is_ingested_as_it_is_read(tmp_path: Path) -> None:
    frame = table(text=True, rows=300)
    recae.ingest(frame, tmp_path / "first", duplicates="sum")
    for options in ({"min_weight": 5.0}, {"user": "who", "weight": None}, {"duplicates": "sum"}):
        read = recae.read_table(tmp_path / "first", **options)
        stored = recae.ingest(tmp_path / "first", tmp_path / "data", overwrite=True, **options)
        assert_same(stored, read)
        assert recae.read_table(tmp_path / "data", duplicates="sum").nnz == read.nnz
    with pytest.raises(recae.ConfigError) as found:
        recae.ingest(tmp_path / "first", tmp_path / "data", duplicates="max", overwrite=True)
    assert found.value.parameter == "duplicates"
    for place in ("first", "first/inner"):
        with pytest.raises(recae.errors.StorageError, match="first"):
            recae.ingest(tmp_path / "first", tmp_path / place, overwrite=True)


def test_known_ids_keep_their_codes_and_empty_rows(tmp_path: Path) -> None:
    users, items = recae.data.IdMap(["c", "a", "b"], "user"), recae.data.IdMap([9, 7], "item")
    plays = pd.DataFrame({"user_id": ["a", "c"], "item_id": [7, 9], "weight": [1.0, 5.0]})
    stored = recae.ingest(plays, tmp_path / "data", users=users, items=items, min_weight=2)
    assert stored.users.ids.tolist() == ["c", "a", "b"] and stored.items.ids.tolist() == [9, 7]
    assert stored.matrix.toarray().tolist() == [[5, 0], [0, 0], [0, 0]]
    again = recae.ingest(stored, tmp_path / "again")
    assert again.matrix.toarray().tolist() == stored.matrix.toarray().tolist()


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        ({"user_id": [1, 1], "item_id": [2, 2]}, {"duplicates": "error"}),
        ({"user_id": [1], "item_id": [2], "weight": [1.0]}, {"min_weight": 3}),
        ({"user_id": [1], "item_id": [2]}, {"min_weight": 3}),
        ({"user_id": [1, None], "item_id": [2, 3]}, {}),
        ({"user_id": [1], "item_id": [2]}, {"user": "who"}),
        ({"user_id": [1], "item_id": [2]}, {"duplicates": "least"}),
        ({"user_id": [1], "item_id": [2]}, {"on_bad_rows": "hide"}),
        ({"user_id": [1], "item_id": [2], "weight": [0.0]}, {}),
        ({"user_id": [], "item_id": []}, {}),
    ],
)
def test_mistakes_are_those_of_the_reader_and_leave_nothing(
    frame: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    plays = pd.DataFrame(frame)
    with pytest.raises(recae.RecaeError) as wanted:
        recae.Interactions.from_frame(plays, **options)
    with pytest.raises(type(wanted.value)) as found:
        recae.ingest(plays, tmp_path / "data", **options)
    assert str(found.value) == str(wanted.value)
    assert found.value.parameter == wanted.value.parameter
    assert not any(tmp_path.iterdir())


def test_kinds_of_ids_must_not_mix_between_runs(tiny: None, tmp_path: Path) -> None:
    for number, ids in enumerate(([1, 2], ["a", "b"])):
        frame = pd.DataFrame({"user_id": ids, "item_id": [1, 2]})
        frame.to_parquet(tmp_path / f"{number}.parquet")
    with pytest.raises(recae.DataError, match=r"1\.parquet"):
        recae.ingest(tmp_path / "*.parquet", tmp_path / "data")


def stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


class TestInterrupted:
    """A killed process leaves its directory, as Ctrl-C does."""

    @pytest.fixture
    def plays(self, tmp_path: Path) -> Path:
        (tmp_path / "plays").mkdir()
        frame = table(text=True).drop_duplicates(["user_id", "item_id"])
        frame.to_parquet(tmp_path / "plays" / "0.parquet", row_group_size=1000)
        return tmp_path / "plays"

    @pytest.mark.parametrize("at", ["read_rows", "cut", "divide", "finish_matrix", "write_about"])
    def test_the_same_call_goes_on(
        self, at: str, plays: Path, tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(passes, at, stop)
            with pytest.raises(KeyboardInterrupt):
                recae.ingest(plays, tmp_path / "data", min_weight=5)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"plays", ".data.unfinished.part"}
        if at != "read_rows":
            monkeypatch.setattr(passes, "read_rows", stop)  # it is not read again
        stored = recae.ingest(plays, tmp_path / "data", min_weight=5)
        assert_same(stored, recae.read_parquet(plays, min_weight=5))
        assert {path.name for path in tmp_path.iterdir()} == {"plays", "data"}

    def test_other_options_and_other_files_begin_anew(
        self, plays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(passes, "divide", stop)
                with pytest.raises(KeyboardInterrupt):
                    recae.ingest(plays, tmp_path / "data")
            stored = recae.ingest(plays, tmp_path / "data", weight=None)
            assert_same(stored, recae.read_parquet(plays, weight=None))
            shutil.rmtree(tmp_path / "data")
            table(text=False, rows=9, seed=3).drop_duplicates(["user_id", "item_id"]).to_parquet(
                plays / "0.parquet"
            )

    def test_content_of_the_same_size_and_time_begins_anew(
        self, plays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = plays / "0.csv"
        (plays / "0.parquet").unlink()
        file.write_text("user_id,item_id\n1,2\n")
        about = file.stat()
        with monkeypatch.context() as patch:
            patch.setattr(passes, "divide", stop)
            with pytest.raises(KeyboardInterrupt):
                recae.ingest(plays, tmp_path / "data")
        file.write_text("user_id,item_id\n1,3\n")
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert recae.ingest(plays, tmp_path / "data").items.ids.tolist() == [3]

    def test_what_is_deleted_is_never_gone_on_with(
        self, plays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        remove = shutil.rmtree

        def kill(path: Path, **options: Any) -> None:
            if path.name in deleted or path.suffix == ".part":
                raise SystemExit
            remove(path, **options)

        deleted = {"ids", "done"}
        work = tmp_path / ".data.unfinished.part"
        wanted = recae.read_parquet(plays)
        for at in ("divide", "finish_matrix"):  # other options delete the work, and are killed
            with monkeypatch.context() as patch:
                patch.setattr(passes, at, stop)
                with pytest.raises(KeyboardInterrupt):
                    recae.ingest(plays, tmp_path / "data")
            with monkeypatch.context() as patch:
                patch.setattr(passes.shutil, "rmtree", kill)
                with pytest.raises(SystemExit):
                    recae.ingest(plays, tmp_path / "data", weight=None)
            assert not (work / passes.STATE).exists()
        deleted = set()
        with monkeypatch.context() as patch:  # it is complete, and killed while it tidies up
            patch.setattr(files.shutil, "rmtree", kill)
            with pytest.raises(SystemExit):
                recae.ingest(plays, tmp_path / "data")
        assert not work.exists()
        assert_same(recae.open_data(tmp_path / "data", verify=True), wanted)
        assert_same(recae.ingest(plays, tmp_path / "data", overwrite=True), wanted)

    def test_files_that_change_while_they_are_read(
        self, plays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        read = passes.read_rows

        def changing(*args: Any) -> int:
            found = read(*args)
            (plays / "1.parquet").write_bytes((plays / "0.parquet").read_bytes())
            return found

        monkeypatch.setattr(passes, "read_rows", changing)
        with pytest.raises(recae.DataError, match=r"1\.parquet"):
            recae.ingest(plays, tmp_path / "data")
        assert {path.name for path in tmp_path.iterdir()} == {"plays"}

    def test_a_file_system_without_locks(
        self, plays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def flock(*_: Any) -> None:
            raise OSError(errno.ENOLCK, "no locks available")

        monkeypatch.setattr(locks.fcntl, "flock", flock)
        assert_same(recae.ingest(plays, tmp_path / "data"), recae.read_parquet(plays))

    def test_two_at_once(self, plays: Path, tmp_path: Path) -> None:
        with (
            resumable_directory(tmp_path / "data", overwrite=False, marker="data.json") as work,
            pytest.raises(recae.errors.StorageError, match="data"),
        ):
            (work / "done" / "data.json").touch()
            recae.ingest(plays, tmp_path / "data")
        assert (tmp_path / "data" / "data.json").exists()


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    plays = pd.DataFrame({"user_id": [1, 2], "item_id": [2, 2]})
    old = recae.ingest(plays, tmp_path / "data")
    with pytest.raises(recae.errors.StorageError, match="data"):
        recae.ingest(plays[:1], tmp_path / "data")
    bad = pd.DataFrame({"user_id": [1, None], "item_id": [2, 2]})
    with pytest.raises(recae.DataError):
        recae.ingest(bad, tmp_path / "data", overwrite=True)
    assert recae.open_data(tmp_path / "data").nnz == 2
    assert recae.ingest(plays[:1], tmp_path / "data", overwrite=True).nnz == 1
    assert old.matrix.toarray().tolist() == [[1], [1]]  # the map of the old files stays
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").touch()
    for place in ("other", "other/letter", "nowhere/data"):
        with pytest.raises(recae.errors.StorageError):
            recae.ingest(plays, tmp_path / place, overwrite=True)
    (tmp_path / "in").mkdir()
    plays.to_csv(tmp_path / "in" / "plays.csv", index=False)
    with pytest.raises(recae.errors.StorageError, match="in"):
        recae.ingest(tmp_path / "in", tmp_path / "in" / "data")


def test_memory_is_a_number_or_text() -> None:
    assert bytes_of("2 GB") == 2_000_000_000 and bytes_of("0.5gib") == 1 << 29
    assert bytes_of(1 << 28) == 1 << 28 and bytes_of(None) >= 1 << 28
    for wrong in ("much", "4 apples", "", 5, -1, True, float("nan"), "100MB", [4]):
        with pytest.raises(recae.ConfigError) as found:
            bytes_of(wrong)
        assert found.value.parameter == "memory"
