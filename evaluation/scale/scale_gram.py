"""X'X of the closed forms from a memory map: seconds and memory, of threads and of processes.

    python -m evaluation scale_gram [--quick]

50 million interactions of 20,000 items are written to disk and memory-mapped. X'X in float64, 3.2
GB, is then computed by one process with one thread, one with two threads, and two processes of one
thread that share it as under torchrun (`recae.distributed`). `memory_gb` is the most memory that is
no file, above what the process held before; of two processes, that of each. The three results must
be the same bits. `cpu_seconds` are those of all processes.

The last part grows X at 2,000 items from 20 to 60 million interactions: what is held beside X'X
must not grow with them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import keep
from evaluation.kit.servers import free_port
from evaluation.scale.histories import open_histories, write_histories

SIZE = {"users": 2_000_000, "items": 20_000}
QUICK = {"users": 40_000, "items": 2_000}
RUNS = {"one thread": (1, 1), "two threads": (1, 2), "two processes": (2, 1)}
"""The processes, and the threads of each."""
GROWING = (800_000, 2_400_000)
GROWING_ITEMS = 2_000


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if the results differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small matrix, not kept")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        folder, items, users = options.serve
        compute(Path(folder), int(items), int(users))
        return 0
    size = QUICK if options.quick else SIZE
    growing = (10_000, 40_000) if options.quick else GROWING
    result: dict[str, Any] = {**size, "runs": {}, "growing": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "histories"
        result["interactions"] = write_histories(folder, size["users"], size["items"])
        for run, (processes, threads) in RUNS.items():
            found = measured(folder, size["items"], size["users"], processes, threads)
            result["runs"][run] = found
            print(run, json.dumps(found), flush=True)
        folder = Path(name) / "growing"
        write_histories(folder, growing[-1], GROWING_ITEMS)
        for users in growing:
            found = measured(folder, GROWING_ITEMS, users, 1, 1)
            result["growing"][str(users)] = found
            print(f"{users:,} users of {GROWING_ITEMS:,} items", json.dumps(found), flush=True)
    first = result["runs"]["one thread"]
    same = all(found["digest"] == first["digest"] for found in result["runs"].values())
    for found in result["runs"].values():
        found["speed"] = round(first["seconds"] / found["seconds"], 2)
    result |= {"same_bits": same, "load_average": os.getloadavg()[0]}
    print({run: found["speed"] for run, found in result["runs"].items()}, "same bits:", same)
    if not options.quick:
        print(f"kept in {keep('scale-gram', result)}")
    return int(not same)


def measured(folder: Path, items: int, users: int, processes: int, threads: int) -> dict[str, Any]:
    """Starts the processes; what the first prints, with the memory of all."""
    about = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    about |= {"MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": str(threads)}
    serve = ["--serve", str(folder), str(items), str(users)]
    command = [sys.executable, "-m", "evaluation.scale.scale_gram", *serve]
    running = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **about, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    texts = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise recae.RecaeError(f"a process ended with {[p.returncode for p in running]}")
    found = [json.loads(text.splitlines()[-1]) for text in texts]
    return {
        "seconds": max(one["seconds"] for one in found),
        "cpu_seconds": round(sum(one["cpu_seconds"] for one in found), 2),
        "memory_gb": [one["memory_gb"] for one in found],
        "result_gb": round(8 * items**2 / 1e9, 3),
        "digest": found[0]["digest"],
    }


def compute(folder: Path, items: int, users: int) -> None:
    """One process: X'X from the mapped histories; prints the cost."""
    import torch

    from recae.data.scaled import Rows
    from recae.models.linear._gram import gram_matrix
    from recae.recommend.sparse import with_weights_or_ones
    from recae.system.digests import sha256_of_arrays

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    data = open_histories(folder, items, users)
    with recae.distributed() as ranks:
        ranks = ranks if ranks.size > 1 else None
        with Watch() as watch:
            cpu, started = time.process_time(), time.perf_counter()
            rows = Rows(data.matrix, lambda part: with_weights_or_ones(part, False))
            gram = gram_matrix(rows, items, np.dtype(np.float64), ranks)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        digest = "" if gram is None else sha256_of_arrays(gram)
        found = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
        print(json.dumps({**found, "memory_gb": watch.above_gb, "digest": digest}), flush=True)


class Watch:
    """The most memory of this process that is no file, in GB above what it holds at first."""

    def __enter__(self) -> Watch:
        self.before = self.most = memory(os.getpid())["heap"]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, memory(os.getpid())["heap"])

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()
        self.above_gb = round((self.most - self.before) / 1e3, 3)


if __name__ == "__main__":
    raise SystemExit(main())
