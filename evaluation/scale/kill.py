"""Kills a job with SIGKILL at random moments and runs it again, until it is done, many times.

A job is some functions of one folder. `killed` is for every job of `scale_kill`; the process that
kills is that of `evaluation.kit.killer`.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.kit.killer import READY, Killer

__all__ = ["READY", "Job", "killed"]


@dataclass(frozen=True)
class Job:
    """What to kill. All functions get the same folder.

    prepare: writes the input and the result of an undisturbed run; work: touches READY when its
    work begins and does the work, in a process of its own; it must be importable; look: says in a
    few words what is on disk after a kill, and raises if that may not be; done: whether the work
    is complete; compare: raises unless the result is that of the undisturbed run; clear: removes
    the result, so that the work can begin anew.
    """

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    look: Callable[[Path], str]
    done: Callable[[Path], bool]
    compare: Callable[[Path], None]
    clear: Callable[[Path], None]


def killed(job: Job, folder: Path, kills: int, seed: int, shown: Any) -> dict[str, Any]:
    """Kills a job `kills` times at random moments of its work; the facts, ready for JSON.

    Each run goes on from what the killed one has left. Every finished result is compared with the
    undisturbed one and removed, and the work begins anew.
    """
    kill = Killer(seed)
    job.prepare(folder)
    started = time.perf_counter()
    job.work(folder)
    seconds = time.perf_counter() - started
    job.compare(folder)
    job.clear(folder)
    found: collections.Counter[str] = collections.Counter()
    count = finished = 0
    while count < kills:
        while count < kills and not job.done(folder):
            if kill(job.work, folder, seconds):
                count += 1
                shown.update()
                found[job.look(folder)] += 1
        if not job.done(folder):
            job.work(folder)  # to its end
        job.compare(folder)
        finished += 1
        job.clear(folder)
    return {
        "kills": count,
        "undisturbed_seconds": round(seconds, 2),
        "on_disk_after_a_kill": dict(sorted(found.items())),
        "finished_and_equal_to_the_undisturbed": finished,
    }
