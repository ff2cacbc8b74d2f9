"""One side of a benchmark: a process that runs a round on request.

It uses only the standard library, and interpreters without recae read it from its file:

    sys.path.append(str(Path(__file__).parents[2] / "kit"))  # from evaluation/speed/peers/
    import worker

    bare = worker.peak_gb()  # after the imports, before the data
    ...
    worker.serve(run, bare)

The process writes {"ready": true} to stdout, one line of JSON. For every line "run" on stdin it
runs a round and answers {"seconds": ..., ...}. At "end", or when stdin closes, it answers
{"peak_gb": ..., "bare_gb": ...} and exits. Output of libraries goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


def serve(
    run: Callable[[], dict[str, Any] | None],
    bare_gb: float | None = None,
    commands: TextIO | None = None,
    answers: TextIO | None = None,
) -> None:
    """Runs a round for each request until the end is requested.

    run: one round. It may return more results, and its own "seconds" if only a part of it is to be
    timed. bare_gb: `peak_gb()` right after the imports; the default is the peak at this call, which
    includes the data.
    """
    commands, answers = commands or sys.stdin, answers or sys.stdout
    if bare_gb is None:
        bare_gb = peak_gb()

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    with contextlib.redirect_stdout(sys.stderr):
        answer({"ready": True})
        for line in commands:
            if line.strip() == "end":
                break
            started = time.perf_counter()
            found = run() or {}
            answer({"seconds": time.perf_counter() - started, **found})
        answer({"peak_gb": round(peak_gb(), 4), "bare_gb": round(bare_gb, 4)})


def peak_gb() -> float:
    """The peak memory of this process so far, in GB (10^9 bytes)."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would count the memory of the parent process
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
