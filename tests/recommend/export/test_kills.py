"""A kill between any two changes of the disk: the same call then writes the same export."""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recae.errors import StorageError
from recae.recommend.export.folder import folder_of
from recae.recommend.export.manifest import DIGESTS, SUCCESS, Job, part_name
from recae.system import exchange as module
from recae.system.files import atomic_file

SCHEMA = pa.schema([("user_id", pa.int64())])
ALL = {DIGESTS, SUCCESS, *map(part_name, range(9))}


class Killed(BaseException):
    """Every change of the disk raises it from a moment on, as if the process were gone."""


class Disk:
    """Counts the changes of the disk, and ends them after so many."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = self.made = 0
        for name in ("replace", "rename", "unlink", "mkdir", "rmdir"):
            patch.setattr(os, name, self.counted(getattr(os, name)))
        patch.setattr(module, "_system_exchange", self.counted(module._system_exchange))
        patch.setattr(os, "open", self.counted(os.open, lambda path, flags, *_: flags & os.O_CREAT))
        for owner in (io, builtins):  # pathlib has the one, everybody else the other
            opened = self.counted(owner.open, lambda path, mode="r", *_: mode[0] in "wxa")
            patch.setattr(owner, "open", opened)

    def counted(self, change: Any, changes: Callable[..., Any] = lambda *_: True) -> Any:
        def counting(*args: Any, **options: Any) -> Any:
            if changes(*args):
                self.made += 1
                if self.made > self.left:
                    raise Killed
            return change(*args, **options)

        return counting


def job(k: int) -> Job:
    """Of two parts; with k=5, of three."""
    options = {"k": k}
    return Job("recommendations", {}, {}, options, SCHEMA, users=k + 1, users_per_part=2)


def write(path: Path, k: int, overwrite: bool = False) -> None:
    """Writes the parts of a job, which name it."""

    def beside(folder: Path) -> dict[str, Any]:
        with atomic_file(folder / DIGESTS, overwrite=True) as part:
            part.write_text(f"digests of {k}")
        return {}

    with folder_of(path, job(k), overwrite=overwrite) as folder:
        for part in folder.todo:
            with atomic_file(folder.file(part), overwrite=True) as file:
                file.write_text(f"part {part} of {k}")
            folder.add(part, {"users": 2, "rows": 2, "users_without_rows": 0})
        folder.finish(beside)


def content(path: Path) -> dict[str, str]:
    """What readers see of an export, but for its manifest, which has the time."""
    return {file.name: file.read_text() for file in path.iterdir() if file.name in ALL}


def expected(k: int) -> dict[str, str]:
    parts = {f"part-{part:05d}.parquet": f"part {part} of {k}" for part in range(job(k).parts)}
    return parts | {DIGESTS: f"digests of {k}", SUCCESS: ""}


def nothing(lists: Path) -> None:
    """A new export of k=3."""


def lacking(lists: Path) -> None:
    """A complete one of k=3 without a part."""
    write(lists, 3)
    (lists / "part-00001.parquet").unlink()


def complete(lists: Path) -> None:
    """Another one, k=5, that is complete."""
    write(lists, 5)


def twice(lists: Path) -> None:
    """The same, beside a third one, which a killed process has replaced."""
    write(lists, 4)
    lists.rename(lists.with_name(".lists.new"))
    write(lists, 5)


def incomplete(lists: Path) -> None:
    """Another one that is not."""
    write(lists, 5)
    (lists / "_SUCCESS").unlink()


@pytest.mark.parametrize(
    ("before", "overwrite", "exchanges"),
    [
        (nothing, False, True),
        (lacking, False, True),
        (incomplete, True, True),
        (complete, True, True),
        (complete, True, False),
        (twice, True, True),
    ],
)
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_moments(before, overwrite, exchanges, step, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    if not exchanges:

        def unsupported(*paths: bytes) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr(module, "_system_exchange", unsupported)
    lists, moment, ended = tmp_path / "lists", 0, False
    while not ended:
        before(lists)
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            disk.left = moment
            try:
                write(lists, 3, overwrite)
                ended = True
            except Killed:
                pass
        if before in (complete, twice) and exchanges:  # readers always find one of them
            assert content(lists) == expected(3 if ended else 5) or content(lists) == expected(3)
        try:
            write(lists, 3, overwrite)
        except StorageError as error:  # it was complete already
            assert error.parameter == "overwrite" and not overwrite
        assert content(lists) == expected(3), moment
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        moment += step
    assert moment > 20
