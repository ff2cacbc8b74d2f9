"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recae import ConfigError, DataError
from recae.errors import StorageError
from recae.system import files
from recae.system.files import (
    as_path,
    atomic_directory,
    atomic_file,
    check_apart,
    check_target,
    plain,
)

WRITES = re.compile(r"save|write|export|html|plot(_\w+)?")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_appears_when_it_is_complete(tmp_path, old, kind) -> None:
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    with atomic_file(kind(path), overwrite=True) as part:
        part.write_text("new")
        assert part.parent.parent == path.parent  # on the same disk: the move is one step
        assert path.exists() == (old is not None) and (old is None or path.read_text() == old)
    assert path.read_text() == "new" and names(tmp_path) == {"file.txt"}


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (full_disk(), StorageError),
        (ValueError("wrong"), ValueError),
        (DataError("wrong"), DataError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_file_stays_as_it_was_when_writing_fails(tmp_path, old, error, raised) -> None:
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(raised), atomic_file(path, overwrite=True) as part:
        part.write_text("half")
        raise error
    assert names(tmp_path) == (set() if old is None else {"file.txt"})
    assert old is None or path.read_text() == old


def test_messages_of_files(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder .*directory: .*file"):
        with atomic_file(tmp_path / "folder", overwrite=True):
            raise AssertionError("the block must not run")
    with pytest.raises(StorageError, match="folder .*absent .*not exist"):
        with atomic_file(tmp_path / "absent" / "file", overwrite=True):
            raise AssertionError("the block must not run")
    with pytest.raises(StorageError, match="file: No space.*nothing.* changed"):
        with atomic_file(tmp_path / "file", overwrite=True):
            raise full_disk()
    assert isinstance(StorageError("x"), OSError)


def test_a_relative_path_means_the_current_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_file("file", overwrite=True) as part:
        part.write_text("new")
    with atomic_directory("folder", overwrite=False, marker="m") as part:
        (part / "m").write_text("new")
    assert names(tmp_path) == {"file", "folder"}


def write_model(path: Path, text: str, overwrite: bool = False) -> None:
    with atomic_directory(path, overwrite=overwrite, marker="marker") as part:
        (part / "marker").write_text(text)


def test_a_directory_appears_when_it_is_complete(tmp_path) -> None:
    path = tmp_path / "model"
    with atomic_directory(path, overwrite=False, marker="marker") as part:
        (part / "marker").write_text("1")
        assert not path.exists()
    assert (path / "marker").read_text() == "1"
    with pytest.raises(StorageError, match="model exists: pass overwrite=True"):
        write_model(path, "2")
    (path / "left over").write_text("of the first")
    write_model(path, "3", overwrite=True)
    assert (path / "marker").read_text() == "3" and names(path) == {"marker"}
    assert names(tmp_path) == {"model"}


@pytest.mark.parametrize("error", [full_disk(), KeyboardInterrupt()])
def test_a_directory_stays_as_it_was_when_writing_fails(tmp_path, error) -> None:
    write_model(tmp_path / "model", "old")
    for name in ("model", "other"):
        with pytest.raises((StorageError, KeyboardInterrupt)):
            with atomic_directory(tmp_path / name, overwrite=True, marker="marker") as part:
                (part / "marker").write_text("half")
                raise error
    assert names(tmp_path) == {"model"}
    assert (tmp_path / "model" / "marker").read_text() == "old"


def refuse(*args: object) -> None:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def test_a_directory_stays_when_the_system_refuses_to_move_it(tmp_path, monkeypatch) -> None:
    path = tmp_path / "model"
    write_model(path, "old")
    monkeypatch.setattr(files, "exchange", refuse)
    with pytest.raises(StorageError, match="model.*nothing.* changed"):
        write_model(path, "new", overwrite=True)
    assert (path / "marker").read_text() == "old" and names(tmp_path) == {"model"}


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path, kind) -> None:
    fcntl = pytest.importorskip("fcntl")
    left, alive, young, others = (tmp_path / f".x.{i * 8}.part" for i in "abcd")
    others = tmp_path / ".y.dddddddd.part"
    for part in (left, alive, young, others):
        part.mkdir() if kind == "directory" else part.touch()
        if part != young:
            os.utime(part, (1e9, 1e9))
    handle = os.open(alive, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    if kind == "file":
        with atomic_file(tmp_path / "x", overwrite=True) as part:
            part.write_text("new")
    else:
        write_model(tmp_path / "x", "new")
    os.close(handle)
    assert names(tmp_path) == {"x", alive.name, young.name, others.name}


def test_a_part_is_locked_while_it_is_written(tmp_path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with atomic_file(tmp_path / "x", overwrite=True) as part:
        part.write_text("new")
        other = os.open(part.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)


def test_what_a_writer_leaves_beside_its_file_goes_too(tmp_path) -> None:
    with atomic_file(tmp_path / "x", overwrite=True) as part:
        part.write_text("new")
        (part.parent / ".tmp123").write_text("of the writer")
    assert names(tmp_path) == {"x"}


def test_a_link_stays_a_link_to_what_is_written(tmp_path) -> None:
    write_model(tmp_path / "model", "old")
    (tmp_path / "file").write_text("old")
    for name in ("model", "file"):
        (tmp_path / f"link to {name}").symlink_to(tmp_path / name)
    write_model(tmp_path / "link to model", "new", overwrite=True)
    with atomic_file(tmp_path / "link to file", overwrite=True) as part:
        part.write_text("new")
    assert names(tmp_path) == {"model", "file", "link to model", "link to file"}
    assert (tmp_path / "link to model").is_symlink() and (tmp_path / "link to file").is_symlink()
    assert (tmp_path / "model" / "marker").read_text() == "new"
    assert (tmp_path / "file").read_text() == "new"


def test_nothing_foreign_is_replaced(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("years of work")
    (tmp_path / "file").write_text("work")
    for name in ("folder", "file"):
        with pytest.raises(StorageError, match=f"{name} .*no marker"):
            write_model(tmp_path / name, "new", overwrite=True)
    assert (tmp_path / "folder" / "thesis").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "work"
    assert names(tmp_path) == {"folder", "file"}


def test_numpy_scalars_become_plain_numbers() -> None:
    values = {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True)}
    assert json.dumps(values, default=plain) == '{"a": 3, "b": 0.5, "c": true}'
    with pytest.raises(TypeError, match="set .*JSON"):
        json.dumps({"a": {1}}, default=plain)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_are_those_of_the_umask(tmp_path, mask) -> None:
    before = os.umask(mask)
    try:
        with atomic_file(tmp_path / "a", overwrite=False) as part:
            part.write_text("x")
            part.chmod(0o600)  # as safetensors does
        with atomic_directory(tmp_path / "b", overwrite=False, marker="m") as part:
            (part / "m").write_text("x")
            (part / "m").chmod(0o600)
    finally:
        os.umask(before)
    for file in (tmp_path / "a", tmp_path / "b" / "m"):
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_file_that_is_there_stays_without_overwrite(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(StorageError) as caught, atomic_file(path, overwrite=False):
        raise AssertionError("the block must not run")
    assert caught.value.parameter == "overwrite" and path.read_text() == "mine"
    late = tmp_path / "late"
    with pytest.raises(StorageError), atomic_file(late, overwrite=False) as part:
        part.write_text("ours")
        late.write_text("mine")  # it appears while ours is written
    assert late.read_text() == "mine" and names(tmp_path) == {"a.csv", "late"}


@pytest.mark.parametrize("name", ["a.txt", "a", "a.parquet.csv", ".parquet"])
def test_an_ending_of_another_format_is_refused(tmp_path, name) -> None:
    with pytest.raises(ConfigError):
        check_target(tmp_path / name, overwrite=True, endings=(".parquet", ".pq"))
    for good in ("a.parquet", "a.PQ", "a.csv.parquet"):
        assert check_target(tmp_path / good, overwrite=True, endings=(".parquet", ".pq"))


def test_devices_are_not_replaced() -> None:
    with pytest.raises(StorageError):
        check_target("/dev/null", overwrite=True)


def test_paths_that_no_file_can_have(tmp_path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("circle", "circle/file", "long" * 99):
        for check in (check_target, lambda path, **_: check_apart([path], [tmp_path / "circle"])):
            with pytest.raises(StorageError, match=name[:6]):
                check(tmp_path / name, overwrite=True)
    check_apart([tmp_path / "new"], [tmp_path / "circle", tmp_path / ("long" * 99)])
    for value in ("half \ud800", "", "a\0b", b"bytes", 7, None):
        with pytest.raises(ConfigError, match="path"):
            as_path(value)


def test_an_output_is_no_input(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    log, folder = tmp_path / "log.csv", tmp_path / "days"
    log.write_text("x")
    (folder / "new").mkdir(parents=True)
    (tmp_path / "soft").symlink_to(log)
    os.link(log, tmp_path / "hard")
    (tmp_path / "link").symlink_to(folder)
    for output in ("log.csv", "./days/../log.csv", "soft", "hard"):
        with pytest.raises(StorageError):
            check_apart([output], [log])
    for output in ("days", "days/out.parquet", "days/new/out", "link/out", "link"):
        with pytest.raises(StorageError):
            check_apart([output], ["days"])
    with pytest.raises(StorageError):
        check_apart(["a.png", "./a.png"], [])
    check_apart(["out.csv", "days.parquet", "days2/x"], [log, folder])


def writers() -> list[tuple[str, Any]]:
    """The public functions and methods that write, by their names."""
    found = []
    rooms = ("report", "evaluation", "tuning", "models", "transformers", "recommend")
    for module in (
        *rooms,
        *(f"apply.{room}" for room in ("maps", "generate", "compress", "steer")),
    ):
        owners = [vars(importlib.import_module(f"recae.{module}"))]
        kinds = [kind for kind in owners[0].values() if isinstance(kind, type)]
        owners += [vars(base) for kind in kinds for base in kind.__mro__]
        for owner in owners:
            found += [(name, call) for name, call in owner.items() if WRITES.fullmatch(name)]
    return [(name, call) for name, call in found if getattr(call, "__module__", "")[:5] == "recae"]


def test_everything_that_writes_asks_before_it_overwrites() -> None:
    found = writers()
    assert {"save", "export", "html", "plot", "plot_curves"} <= {name for name, _ in found}
    for name, call in found:
        option = inspect.signature(call).parameters.get("overwrite")
        assert option is not None and option.default is False, (name, call)
