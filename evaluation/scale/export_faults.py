"""Full disks, lost permissions, damage and three at once: what else goes wrong with an export.

Each function breaks the export of `kill_export` in one way, runs it again, and compares what it has
written with what an undisturbed run has written. Any difference raises an AssertionError.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import recae
from recae.errors import DataError, StorageError

Work = Callable[[Path], None]
Compare = Callable[[Path], None]
REFUSED = 3
MODEL, LISTS, EXPECTED = "model", "lists", "expected"
HARMS = ("a byte changed", "cut short", "emptied", "gone", "another part")


def parts(folder: Path) -> int:
    """The parts that are written in a folder."""
    return len(list((folder / LISTS).glob("part-*.parquet")))


def complete(folder: Path) -> bool:
    """Whether the marker of a complete export is there."""
    return (folder / LISTS / "_SUCCESS").exists()


def full_disk(folder: Path, work: Work, compare: Compare) -> dict[str, Any] | str:
    """Runs the export on a disk that is too small, and that grows from one run to the next."""
    size = sum(file.stat().st_size for file in (folder / EXPECTED).glob("*")) // 1024
    with small_disk(size // 2) as disk:
        if disk is None:
            return "omitted: this process may not mount a disk"
        for name in (MODEL, EXPECTED):
            (disk / name).symlink_to(folder / name)
        errors = 0
        for share in (0.5, 0.5, 0.7, 0.9, 3.0):
            resize(disk, int(size * share) + 64)
            try:
                work(disk)
            except StorageError as error:
                assert "space" in str(error), error
                errors += 1
                assert not complete(disk)
        assert errors, "the disk was large enough"
        compare(disk)
    return {"errors": errors, "disk_kb": size // 2, "equal_to_the_undisturbed": True}


def lost_permission(folder: Path, work: Work, compare: Compare) -> dict[str, Any] | str:
    """Makes the folder read-only while the export writes, and writable again, three times."""
    fork, errors = multiprocessing.get_context("fork"), 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(folder / MODEL, place / MODEL)
        (place / LISTS).mkdir()
        for path in (place, *place.rglob("*")):  # for a user without rights, too
            path.chmod(0o777 if path.is_dir() else 0o666)
        while not complete(place):
            before = parts(place)
            process = fork.Process(target=_without_rights, args=(work, place))
            process.start()
            while process.is_alive() and parts(place) < before + 5:
                time.sleep(0.002)
            if process.is_alive() and errors < 3:
                (place / LISTS).chmod(0o555)
            process.join()
            (place / LISTS).chmod(0o777)
            assert process.exitcode in (0, REFUSED), f"it ended with {process.exitcode}"
            errors += process.exitcode == REFUSED
        (place / EXPECTED).symlink_to(folder / EXPECTED)
        compare(place)
    return {"errors": errors, "equal_to_the_undisturbed": True}


def _without_rights(work: Work, folder: Path) -> None:
    """The export, of a user whom permissions bind; it is forked, so that all code is loaded."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        work(folder)
    except StorageError:
        os._exit(REFUSED)


def three_at_once(folder: Path, work: Work, compare: Compare) -> dict[str, Any]:
    """Starts the export three times. Two are refused, because it is being written or complete."""
    code = (
        "import importlib, sys\nfrom pathlib import Path\nfrom recae.errors import StorageError\n"
        "try:\n    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(Path(sys.argv[3]))\n"
        "except StorageError as error:\n    sys.exit(f'StorageError: {error}')\n"
    )
    command = [sys.executable, "-c", code, work.__module__, work.__name__, str(folder)]
    counts = {"refused": 0, "finished": 0}
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, said = process.communicate()
        if process.returncode:
            assert "StorageError: " in said and str(folder / LISTS) in said, said
        counts["refused" if process.returncode else "finished"] += 1
    assert counts["finished"] == 1, counts
    compare(folder)
    shutil.rmtree(folder / LISTS)
    return counts | {"equal_to_the_undisturbed": True}


def damaged_parts(folder: Path, work: Work, compare: Compare) -> dict[str, Any]:
    """Damages a part of a complete export: `verify` names it, and the same export mends it."""
    work(folder)
    lists, rng, found = folder / LISTS, np.random.default_rng(0), dict.fromkeys(HARMS, 0)
    for harm in HARMS * 4:
        part, other = (lists / f"part-{number:05d}.parquet" for number in rng.choice(70, 2, False))
        content = part.read_bytes()
        place = int(rng.integers(len(content)))
        change = bytes([content[place] ^ (1 << int(rng.integers(8)))])
        damaged = {
            "a byte changed": content[:place] + change + content[place + 1 :],
            "cut short": content[:place],
            "emptied": b"",
            "gone": None,
            "another part": other.read_bytes(),
        }[harm]
        part.unlink()
        if damaged is not None:
            part.write_bytes(damaged)
        try:
            recae.open_export(lists).verify()
        except DataError as error:
            assert part.name in str(error), error
        else:
            raise AssertionError(f"{harm} at {place} of {part.name} was not found")
        part.unlink(missing_ok=True)
        work(folder)
        compare(folder)
        found[harm] += 1
    shutil.rmtree(lists)
    return found


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """A file system in memory of this size; None if it may not be mounted."""
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", name]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    """Gives a `small_disk` another size."""
    options = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-o", options, str(disk)], check=True, capture_output=True)
