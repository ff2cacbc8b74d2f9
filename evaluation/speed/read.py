"""Seconds and peak memory of reading a large Parquet file, compared with pandas and polars.

    python -m evaluation.speed read --rows 100000000 --rounds 3

Writes a file with this many rows to a temporary folder: users and items with a long tail, some
repeated pairs, a float32 weight and, with --times, an int64 time. Reads it in separate processes
with recae and with the usual lines of pandas and, if installed, polars, and checks that the
matrices are equal.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from evaluation.kit.provenance import keep, peak_gb

USERS, ITEMS, GROUP = 1_000_000, 100_000, 1_000_000


def make(path: Path, rows: int, times: bool) -> None:
    """The table, one group of rows at a time. Ids have gaps, so that they are not row numbers."""
    rng = np.random.default_rng(0)
    names = ["user_id", "item_id", "weight", *(["timestamp"] if times else [])]
    types = [pa.int64(), pa.int64(), pa.float32(), pa.int64()]
    schema = pa.schema(list(zip(names, types, strict=False)))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            n = min(GROUP, rows - start)
            columns = [
                (USERS * rng.random(n) ** 1.5).astype(np.int64) * 977 + 10**9,
                (ITEMS * rng.random(n) ** 3).astype(np.int64) * 13 + 7,
                rng.integers(1, 6, n).astype(np.float32),
                rng.integers(1_000_000_000, 1_700_000_000, n),
            ]
            writer.write_table(pa.table(columns[: len(names)], schema=schema))


def with_recae(path: Path) -> Any:
    """The matrix of `recae.read_parquet`, sums of repeated pairs."""
    import recae

    return recae.read_parquet(path, duplicates="sum").matrix


def with_pandas(path: Path) -> Any:
    """The usual lines: read, number the ids, make a CSR."""
    return _matrix(pd.read_parquet(path, columns=["user_id", "item_id", "weight"]))


def with_polars(path: Path) -> Any:
    """The same with polars."""
    import polars

    columns = ["user_id", "item_id", "weight"]
    return _matrix(
        {n: c.to_numpy() for n, c in polars.read_parquet(path)[columns].to_dict().items()}
    )


def _matrix(frame: Any) -> Any:
    users, user_ids = pd.factorize(frame["user_id"], sort=True)
    items, item_ids = pd.factorize(frame["item_id"], sort=True)
    shape = (len(user_ids), len(item_ids))
    return sp.csr_matrix((np.asarray(frame["weight"]), (users, items)), shape=shape)


READERS: dict[str, Callable[[Path], Any]] = {
    "recae": with_recae,
    "pandas": with_pandas,
    "polars": with_polars,
}


def measure(reader: str, path: Path) -> dict[str, Any]:
    """Runs one reader in a fresh process."""
    command = [sys.executable, "-m", "evaluation.speed.read", "--reader", reader, "--file", path]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        return {"failed": f"exit code {done.returncode}: {done.stderr.strip()[-200:]}"}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def read(reader: str, path: Path) -> dict[str, Any]:
    """The work of the fresh process that `measure` starts."""
    if reader == "recae":
        import recae  # noqa: F401  its import is not part of reading
    before, started = peak_gb(), time.perf_counter()
    matrix = READERS[reader](path)
    seconds = time.perf_counter() - started
    size = sum(part.nbytes for part in (matrix.data, matrix.indices, matrix.indptr)) / 1e9
    probe = np.random.default_rng(1).random(matrix.shape[1])
    return {
        "seconds": round(seconds, 2),
        "peak_gb": round(peak_gb(), 3),
        "before_gb": round(before, 3),
        "matrix_gb": round(size, 3),
        "nnz": int(matrix.nnz),
        "check": [float(matrix.data.sum(dtype=np.float64)), float((matrix @ probe).sum())],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Makes, measures, compares and prints; 1 if the matrices differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", action="store_true", help="with a column of times")
    parser.add_argument("--rounds", type=int, default=1, help="alternating rounds of all readers")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.reader:
        print(json.dumps(read(options.reader, options.file)))
        return 0
    readers = options.readers
    if "polars" in readers and importlib.util.find_spec("polars") is None:
        print("polars is not installed")
        readers.remove("polars")
    runs: dict[str, list[dict[str, Any]]] = {reader: [] for reader in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plays.parquet"
        make(path, options.rows, options.times)
        print(f"{options.rows:,} rows, {path.stat().st_size / 1e9:.2f} GB on disk", flush=True)
        path.read_bytes()  # from here on the file is in the system's cache for all readers
        for number in range(options.rounds):
            for reader in readers[number % len(readers) :] + readers[: number % len(readers)]:
                found = measure(reader, path)
                runs[reader].append(found)
                print(f"  {reader:<7} {found.get('seconds', found.get('failed'))}", flush=True)
    done = {reader: [r for r in some if "check" in r] for reader, some in runs.items()}
    for reader, some in done.items():
        if some:
            extra = max((r["peak_gb"] - r["before_gb"]) / r["matrix_gb"] for r in some)
            print(
                f"{reader:<7} median {statistics.median(r['seconds'] for r in some):6.1f} s, peak "
                f"{max(r['peak_gb'] for r in some):.2f} GB, which is {extra:.2f} times the "
                f"{some[0]['matrix_gb']:.2f} GB of the CSR beyond the start"
            )
    ours = done.get("recae", [])
    for reader, some in done.items():
        if reader != "recae" and len(some) == len(ours) > 0:
            ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, some, strict=True)]
            print(f"{reader} / recae, paired median: {statistics.median(ratios):.2f}")
    checks = [(r["nnz"], *r["check"]) for some in done.values() for r in some]
    equal = all(np.allclose(check, checks[0], rtol=1e-9) for check in checks)
    print(f"equal matrices: {'yes' if equal else checks}")
    name = "read-speed-times" if options.times else "read-speed"
    print(f"kept in {keep(name, {'suite': 'reading Parquet', 'rows': options.rows, **runs})}")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
