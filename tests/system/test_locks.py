"""One writer at a time, also across processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from recae.errors import StorageError
from recae.system.files import resumable_directory
from recae.system.locks import only_writer


def test_a_second_writer_is_refused_and_a_third_is_not(tmp_path: Path) -> None:
    file = tmp_path / "_lock"
    with only_writer(file, "lists"):
        assert file.exists()
        with pytest.raises(StorageError, match="lists"):
            with only_writer(file, "lists"):
                pass
    assert not file.exists()
    with only_writer(file, "lists"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from recae.system.locks import only_writer
        with only_writer(Path(sys.argv[1]), "lists"):
            os._exit(9)
    """
    file = tmp_path / "_lock"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(file)])
    assert done.returncode == 9 and file.exists()
    with only_writer(file, "lists"):
        pass
    assert not file.exists()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refused(handle: int, how: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # what NFS says of a directory

    monkeypatch.setattr(fcntl, "flock", refused)
    with only_writer(tmp_path / "_lock", "lists"):
        pass
    with resumable_directory(tmp_path / "data", overwrite=False, marker="about") as work:
        (work / "done" / "about").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        with only_writer(tmp_path / "absent" / "_lock", "lists"):
            pass
