"""The ingest as a job to kill, and what else may happen to it: no disk, other processes, damage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd

import recae
from evaluation.scale.kill import READY, Job
from recae.data.stored import coding, passes
from recae.data.stored.passes import STATE
from recae.errors import DataError, StorageError

FILES, ROWS, USERS, ITEMS = 4, 150_000, 40_000, 5_000
MEMORY = "256MiB"


def prepare(folder: Path) -> None:
    """A folder of Parquet with text ids, and the matrix that the reader in memory makes of it."""
    random = np.random.default_rng(0)
    (folder / "plays").mkdir()
    for number in range(FILES):
        users, items = random.integers(0, USERS, ROWS), random.integers(0, ITEMS, ROWS)
        plays = pd.DataFrame(
            {
                "user_id": [f"user {user}" for user in users],
                "item_id": items,
                "weight": random.integers(1, 6, ROWS),
                "timestamp": random.integers(0, 1000, ROWS),
            }
        )
        plays.to_parquet(folder / "plays" / f"{number}.parquet", row_group_size=20_000)
    read = recae.read_parquet(folder / "plays", duplicates="sum")
    (folder / "fingerprint").write_text(fingerprint(read))


def fingerprint(data: recae.Interactions) -> str:
    """That of the data, and the sum of times, which it leaves out, by places."""
    times = np.asarray(data.times)
    return f"{data.fingerprint()} {int((times * np.arange(len(times))).sum())}"


def work(folder: Path) -> None:
    """An ingest with many runs of ids and many parts."""
    coding.TEXT_BYTES = coding.INT_BYTES = 30_000
    passes.ROW_BYTES = (1 << 28) // 50_000
    (folder / READY).touch()
    ingest(folder)


def ingest(folder: Path) -> recae.Interactions:
    """The ingest."""
    return recae.ingest(
        folder / "plays", folder / "data", duplicates="sum", memory=MEMORY, progress=False
    )


def look(folder: Path) -> str:
    """What a killed ingest has left."""
    names = {path.name for path in folder.iterdir()} - {READY, "plays", "fingerprint"}
    # What is done with has a name of its own while it is deleted.
    names = {name for name in names if not fnmatch(name, ".data.????????.part")}
    if names - {"data", ".data.unfinished.part"}:
        raise AssertionError(f"on disk: {sorted(names)}")
    if "data" in names:
        compare(folder)
        return "the complete folder"
    state = folder / ".data.unfinished.part" / STATE
    if not state.exists():
        return "no finished pass"
    return f"pass {list(json.loads(state.read_text()))[-1]}"


def done(folder: Path) -> bool:
    """Whether the folder is there."""
    return (folder / "data").exists()


def compare(folder: Path) -> None:
    """Opens the folder with its checksums and compares it."""
    found = fingerprint(recae.open_data(folder / "data", verify=True))
    assert found == (folder / "fingerprint").read_text()


def clear(folder: Path) -> None:
    """Removes the folder."""
    shutil.rmtree(folder / "data")


JOB = Job("ingest", prepare, work, look, done, compare, clear)


def faults(folder: Path) -> dict[str, str]:
    """Other mishaps of an ingest, each with what became of it. Raises where it is wrong."""
    found = {}
    for name, happen in (
        ("disk full (tmpfs of 8 MB)", _disk_full),
        ("folder without permission", _no_permission),
        ("two at once", _two_at_once),
        ("every file cut, altered and removed afterwards", _damaged),
        ("a source that changes between two runs", _changed),
    ):
        found[name] = happen(folder)
    return found


def _refused(error: type[Exception], call: Callable[[], object]) -> str:
    try:
        call()
    except error as found:
        return str(found).replace(str(Path.cwd()), ".")
    raise AssertionError(f"no {error.__name__}")


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A tmpfs of 8 MB; None where this process may not mount one."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def _disk_full(folder: Path) -> str:
    with _small_disk(folder) as disk:
        if disk is None:
            return "skipped: needs the right to mount"
        _refused(StorageError, lambda: recae.ingest(folder / "plays", disk / "d", progress=False))
        assert not any(disk.iterdir())
    return "StorageError, nothing left"


def _no_permission(folder: Path) -> str:
    code = (
        "import os, sys, recae\n"
        "recae.ingest(sys.argv[1], sys.argv[2] + '-root', progress=False)\n"  # imports all
        "os.setuid(65534)\n"
        "try:\n    recae.ingest(sys.argv[1], sys.argv[2], progress=False)\n"
        "except recae.errors.StorageError:\n    print('refused')\n"
    )
    if os.geteuid() != 0:
        return "skipped: needs root to become nobody"
    for path in (folder, folder / "plays", *(folder / "plays").iterdir()):
        path.chmod(0o755)
    args = [sys.executable, "-c", code, str(folder / "plays"), str(folder / "data")]
    said = subprocess.run(args, capture_output=True, text=True)
    assert said.stdout.strip() == "refused", said
    assert not done(folder)
    shutil.rmtree(folder / "data-root")
    return "StorageError, nothing left"


def _two_at_once(folder: Path) -> str:
    code = "from evaluation.scale import kill_ingest as k; import sys, pathlib;"
    code += " k.work(pathlib.Path(sys.argv[1]))"
    both = [subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=-1) for _ in "12"]
    said = [process.communicate()[1].decode() for process in both]
    codes = sorted(bool(process.returncode) for process in both)
    compare(folder)
    clear(folder)
    (folder / READY).unlink()
    assert codes == [False, True] and any("StorageError" in text for text in said), said
    return "one is complete, the other has a StorageError"


def _damaged(folder: Path) -> str:
    ingest(folder)
    for path in sorted((folder / "data").iterdir()):
        whole = path.read_bytes()
        altered = bytearray(whole)
        altered[len(whole) // 2] ^= 1
        for content in (whole[: len(whole) // 2], whole + b"\0", bytes(altered)):
            path.write_bytes(content)
            _refused(DataError, lambda: recae.open_data(folder / "data", verify=True))
        path.unlink()
        _refused(DataError, lambda: recae.open_data(folder / "data"))
        path.write_bytes(whole)
    compare(folder)
    clear(folder)
    return "DataError in all cases"


def _changed(folder: Path) -> str:
    """The work of a killed process is for other files than those that are there now."""
    work_folder = folder / ".data.unfinished.part"
    code = (
        "from evaluation.scale import kill_ingest as k; import sys, pathlib, os\n"
        "k.passes.Passes.divide = lambda *_: os._exit(9)\n"
        "k.work(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True)
    assert (work_folder / STATE).exists()
    (folder / "plays" / "0.parquet").unlink()
    read = recae.read_parquet(folder / "plays", duplicates="sum")
    assert fingerprint(ingest(folder)) == fingerprint(read)
    clear(folder)
    return "begun anew, equal to the reader in memory"
