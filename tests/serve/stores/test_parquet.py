"""Histories in Parquet files: those of the table, also after the files have changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recae import ConfigError, DataError
from recae.errors import StoreError
from recae.serve import open_store
from recae.serve.stores import parquet


def write(path: Path, rows: list[tuple[Any, Any]], names: tuple[str, str] = ("user_id", "item_id")):
    part = path.with_suffix(".part")
    pd.DataFrame(rows, columns=list(names)).to_parquet(part)
    os.replace(part, path)


def test_the_histories_are_those_of_the_table(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(1, 8), (2, 9), (1, 7), (1, 8)])
    store = open_store(f"parquet:{tmp_path / 'a.parquet'}")
    found = store.histories([1, 2, 3, 1])
    assert {user: sorted(items) for user, items in found.items()} == {1: [7, 8], 2: [9]}
    assert {type(item) for items in found.values() for item in items} == {int}
    assert store.histories([]) == {}
    store.close()


def test_a_folder_text_ids_and_other_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    write(folder / "1.parquet", [("é", "x")], ("who", "what"))
    write(folder / "2.parquet", [("é", "y"), ("f", "x")], ("who", "what"))
    where = str(folder).replace(" ", "%20")
    store = open_store(f"parquet:{where}?user_column=who&item_column=what")
    assert {u: sorted(i) for u, i in store.histories(["é", "f", "g"]).items()} == {
        "é": ["x", "y"],
        "f": ["x"],
    }


def test_ids_of_the_wrong_kind_and_long_histories_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(1, 8), (2, 9), (1, 7)])
    store = open_store(f"parquet:{tmp_path}/a.parquet?limit=1")
    assert store.histories([2]) == {2: [9]}
    with pytest.raises(StoreError, match="user 1 .*1 items"):
        store.histories([2, 1])
    for users in (["1"], [None], [1.5], "1", [2**70], ["\ud800"], [[1]]):
        with pytest.raises(DataError):
            store.histories(users)


@pytest.mark.parametrize(
    ("rows", "names", "culprit"),
    [
        ([(1, None), (1, 2)], ("user_id", "item_id"), "item"),
        ([(None, 2), (1, 2)], ("user_id", "item_id"), "user"),
        ([(1.5, 2)], ("user_id", "item_id"), "1.5"),
        ([(1, 2)], ("user", "item_id"), "user_id"),
    ],
)
def test_a_table_that_is_none_is_refused_at_once(
    tmp_path: Path, rows: list[Any], names: tuple[str, str], culprit: str
) -> None:
    write(tmp_path / "a.parquet", rows, names)
    with pytest.raises(DataError, match=culprit):
        open_store(f"parquet:{tmp_path}/a.parquet")


def test_missing_files_and_wrong_urls_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_store(f"parquet:{tmp_path}/nowhere.parquet")
    write(tmp_path / "a.parquet", [(1, 2)])
    for url in (
        *("plays.parquet", "", None, 3, "parquet:", "parquet:?limit=3", ":x", "parquet:a\0"),
        *("csv:plays.csv", f"parquet:{tmp_path}/a.parquet?users=x"),
        *(f"parquet:{tmp_path}/a.parquet?limit={limit}" for limit in ("0", "-1", "x", "1.5", "²")),
        *(f"parquet:{tmp_path}/a.parquet?{query}" for query in ("user_column=", "limit=3&limit=3")),
    ):
        with pytest.raises(ConfigError):
            open_store(url)
    with pytest.raises(ConfigError, match="parquet"):
        open_store("parqet:plays.parquet")


def until(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "LOOK_SECONDS", 0.0)
    file = tmp_path / "a.parquet"
    write(file, [(1, 8)])
    store = open_store(f"parquet:{file}")
    write(file, [(1, 8), (1, 9), (5, 3)])
    until(lambda: store.histories([1, 5]) == {1: [8, 9], 5: [3]})

    def fails() -> bool:
        try:
            store.histories([1])
        except StoreError as error:
            return "a.parquet" in str(error)
        return False

    file.write_bytes(b"PAR1 rubbish")
    until(fails)
    file.unlink()
    until(fails)
    write(file, [(1, 2)])

    def answers() -> bool:
        return not fails() and store.histories([1]) == {1: [2]}

    until(answers)


def test_threads_get_the_same_while_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "LOOK_SECONDS", 0.0)
    file = tmp_path / "a.parquet"
    write(file, [(user, user % 7) for user in range(50)])
    store, wrong = open_store(f"parquet:{file}"), []

    def ask() -> None:
        for user in range(200):
            found = store.histories([user % 50])
            if found not in ({user % 50: [user % 50 % 7]}, {user % 50: [user % 50 % 5]}):
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        write(file, [(user, user % 5) for user in range(50)])
        write(file, [(user, user % 7) for user in range(50)])
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_reads_a_changed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "LOOK_SECONDS", 0.0)
    file = tmp_path / "a.parquet"
    write(file, [(1, 8)])
    store = open_store(f"parquet:{file}")
    store._reading.acquire()  # a reading that does not end: its thread is not in the child
    child = os.fork()
    if not child:
        code = 1
        try:
            write(file, [(1, 9)])
            until(lambda: store.histories([1]) == {1: [9]})
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
