"""Ingests Parquet of three times the memory that the process may use, and compares the matrix.

    python -m evaluation scale_ingest [--quick] [--rows 120000000] [--text]

Synthetic interactions (ten million users, 100,000 items, weights and times) are written as Parquet.
One process ingests them under a limit of a third of their size: a cgroup where this process may
make one (`limit_by` says so), else RLIMIT_DATA. A second one, without a limit, reads them in memory
and compares every array with the data folder, bit for bit. `peak` is the largest memory of the
first process that is no cache of files; `peak_in_memory` that of the second before it compares.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import keep, peak_gb

USERS, ITEMS, FILE_ROWS, TIMES = 10_000_000, 100_000, 10_000_000, 3.0
BASE, LEAST = 160 << 20, 256 << 20
"""Bytes that Python and its libraries take, and the least memory of an ingest."""
CGROUP = Path("/sys/fs/cgroup/memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if the matrices differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=120_000_000, help="(default: %(default)s)")
    parser.add_argument("--text", action="store_true", help="ids of users are text")
    parser.add_argument("--folder", help="where to write, some 10 GB (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="fewer rows, not kept")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.run:
        print(json.dumps(RUNS[asked.run](Path(asked.folder))))
        return 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        found = measured(Path(name), 4_000_000 if asked.quick else asked.rows, asked.text)
    print(json.dumps(found, indent=2))
    if not asked.quick:
        print(f"kept in {keep('scale-ingest-text' if asked.text else 'scale-ingest', found)}")
    return int(not found["equal_bit_for_bit"])


def measured(folder: Path, rows: int, text: bool) -> dict[str, Any]:
    """Makes the table, ingests it under the limit, reads it in memory, and compares."""
    size = make(folder / "plays", rows, text)
    limit = max(int(size / TIMES), BASE + LEAST)
    with limited(limit) as (enter, how):
        ingested = started("ingest", folder, enter, RECAE_LIMIT=str(limit))
    read = started("read", folder, None)
    return {
        "rows": rows,
        "parquet_bytes": size,
        "limit_bytes": limit,
        "parquet_by_limit": round(size / limit, 2),
        "limit_by": how,
        **{key: value for key, value in ingested.items() if key != "rows"},
        "rows_a_second": round(rows / ingested["seconds"]),
        "rows_a_second_in_memory": round(rows / read["seconds_in_memory"]),
        **read,
        "load_average": os.getloadavg()[0],
    }


def make(folder: Path, rows: int, text: bool) -> int:
    """Writes the table, and returns its bytes."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        with pq.ParquetWriter(folder / f"{number:04d}.parquet", _schema(text)) as writer:
            for _ in range(0, min(FILE_ROWS, rows - start), 1_000_000):
                n = 1_000_000
                users: Any = pa.array(random.integers(0, USERS, n))
                if text:
                    users = pc.binary_join_element_wise("user-", users.cast(pa.string()), "")
                columns = [
                    users,
                    pa.array((ITEMS * random.random(n) ** 3).astype(np.int32)),
                    pa.array(random.integers(1, 6, n).astype(np.float32)),
                    pa.array(random.integers(10**9, 2 * 10**9, n)),
                ]
                writer.write_table(pa.table(columns, schema=writer.schema))
    return sum(file.stat().st_size for file in folder.iterdir())


def _schema(text: bool) -> Any:
    users = pa.string() if text else pa.int64()
    return pa.schema(
        [
            ("user_id", users),
            ("item_id", pa.int32()),
            ("weight", pa.float32()),
            ("timestamp", pa.int64()),
        ]
    )


class limited:
    """A block in which a process can enter a limit: gives the function to call in it, and its
    name."""

    def __init__(self, limit: int) -> None:
        self.limit, self.group = limit, CGROUP / f"recae-{os.getpid()}"

    def __enter__(self) -> tuple[Callable[[], None], str]:
        try:
            self.group.mkdir()
            (self.group / "memory.limit_in_bytes").write_text(str(self.limit))
            return self._into_group, "cgroup memory.limit_in_bytes, which counts cached files too"
        except OSError:
            return self._by_rlimit, "RLIMIT_DATA"

    def __exit__(self, *error: object) -> None:
        if self.group.exists():
            self.group.rmdir()

    def _into_group(self) -> None:
        (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def _by_rlimit(self) -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (self.limit, self.limit))


def started(run: str, folder: Path, enter: Callable[[], None] | None, **more: str) -> Any:
    """What a run in a process of its own has printed."""
    command = [sys.executable, "-m", "evaluation", "scale_ingest", "--run", run]
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=enter,
        env=os.environ | more,
    )
    return json.loads(done.stdout.splitlines()[-1])


def ingest(folder: Path) -> dict[str, Any]:
    """The ingest under the limit."""
    limit = int(os.environ["RECAE_LIMIT"])
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], memory(os.getpid())["heap"])

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.perf_counter()
    data = recae.ingest(
        folder / "plays", folder / "data", duplicates="sum", memory=limit - BASE, progress=False
    )
    seconds = time.perf_counter() - began
    done.set()
    watching.join()
    sizes = {"users": data.n_users, "items": data.n_items, "interactions": data.nnz}
    size = sum(file.stat().st_size for file in (folder / "data").iterdir())
    held = int(peak[0] * 2**20)
    about = {"memory": limit - BASE, "peak": held, "seconds": round(seconds, 1)}
    began = time.perf_counter()
    recae.open_data(folder / "data")
    opened = round(time.perf_counter() - began, 4)
    return {**sizes, **about, "folder_bytes": size, "seconds_to_open": opened}


def read(folder: Path) -> dict[str, Any]:
    """The reader in memory, and the comparison."""
    began = time.perf_counter()
    data = recae.read_parquet(folder / "plays", duplicates="sum", progress=False)
    seconds, peak = time.perf_counter() - began, peak_gb()
    stored = recae.open_data(folder / "data", verify=True)
    equal = [
        np.array_equal(getattr(data.matrix, part), getattr(stored.matrix, part))
        for part in ("data", "indices", "indptr")
    ]
    equal += [np.array_equal(data.times, stored.times)]
    equal += [data.users == stored.users, data.items == stored.items]
    equal += [data.fingerprint() == stored.fingerprint()]
    return {
        "seconds_in_memory": round(seconds, 1),
        "peak_in_memory": int(peak * 1e9),
        "equal_bit_for_bit": all(equal),
    }


RUNS: dict[str, Callable[[Path], dict[str, Any]]] = {"ingest": ingest, "read": read}
