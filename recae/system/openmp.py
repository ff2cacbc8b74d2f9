"""Threads of OpenMP that sleep where cores are wanted, and no more of them than a quota allows.

GNU's OpenMP, which torch computes with on Linux, lets a thread that waits for the others spin for
300,000 turns, some 15 ms, before it sleeps. On an idle machine that is fastest. Where other
processes want the cores, it spins on the core that the thread it waits for needs, and training is
many times slower. It spins for 1,000 turns only while the process has more OpenMP threads than
cores (libgomp's manual, GOMP_SPINCOUNT). So `COMPUTING` holds as many idle OpenMP threads as there
are cores, as long as threads of this process have to wait for a core. The number of threads that
compute, and the bits of results, stay the same.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from recae.system.machine import cpu_quota

LOG = logging.getLogger("recae")

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Environment variables by which a user says how threads wait; then nothing is changed."""

EVERY = 0.3
"""Seconds between two looks at the waiting of this process while it computes."""

MOST, LEAST = 0.1, 0.04
"""Share of the time that threads wait for a core, all together: above MOST the idle threads are
held, below LEAST they are let go."""

TASKS = Path("/proc/self/task")


class Team:
    """A team of idle OpenMP threads, as many as there are cores, until `end`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.held, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold, name="recae-openmp", daemon=True)
        self.thread.start()
        self.held.wait()

    def _hold(self) -> None:
        nothing = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p)  # the work of the team
        self.library.GOMP_parallel(nothing, None, max(os.cpu_count() or 1, 2), 0)
        self.held.set()
        self.over.wait()

    def end(self) -> None:
        """Ends the threads."""
        self.over.set()
        self.thread.join()


def gnu_openmp() -> ctypes.CDLL | None:
    """The OpenMP library that torch computes with, if it is GNU's."""
    here = os.path.dirname(torch.__file__)
    for info in ThreadpoolController().select(user_api="openmp").info():
        path = info["filepath"]
        if info["prefix"] == "libgomp" and (here in path or f"{here}.libs" in path):
            return ctypes.CDLL(path)
    return None


def waited() -> float:
    """Seconds for which the threads of this process have waited for a core so far; 0 where the
    system does not tell."""
    total = 0
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        try:  # running, waiting, time slices
            total += int((task / "schedstat").read_text().split()[1])
        except (OSError, ValueError, IndexError):  # it has ended, or there is no such file
            continue
    return total / 1e9


def wanted(share: float, held: bool) -> bool:
    """Whether idle threads are held from now on, given the share of time that threads waited.

    >>> wanted(0.5, held=False), wanted(0.07, held=True), wanted(0.07, held=False)
    (True, True, False)
    """
    return share > (LEAST if held else MOST)


def _watch(library: ctypes.CDLL, at_work: threading.Event) -> None:
    """Holds a team or lets it go, while this process computes."""
    team: Team | None = None
    while True:
        at_work.wait()
        before, started = waited(), time.monotonic()
        time.sleep(EVERY)
        share = max(waited() - before, 0.0) / (time.monotonic() - started)
        hold = wanted(share, team is not None) or _quota() is not None
        if hold and team is None:
            LOG.info("other processes want the cores: waiting threads sleep (%.0f %%)", 100 * share)
            team = Team(library)
        elif not hold and team is not None:
            team.end()
            team = None


class _Computing:
    """A block that computes with OpenMP: its threads are watched, and keep to the quota.

    torch and BLAS count the cores of the machine or of the affinity, and not the share of time that
    a container has. With more threads than that all of them are stopped for a part of every tenth
    of a second. The numbers of threads belong to the process: they are restored when the last block
    is left.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """In a new child of a fork, which has none of the threads."""
        self.lock, self.inside = threading.Lock(), 0
        self.usual: tuple[int, Any] | None = None
        self.at_work, self.watched = threading.Event(), False

    def __enter__(self) -> None:
        """Starts the watch at the first use, and limits the threads to the quota unless an outer
        block has."""
        most = _quota()
        with self.lock:
            self.inside += 1
            self.at_work.set()
            if not self.watched:
                self.watched = True
                self._start()
            if most is not None and self.usual is None and torch.get_num_threads() > most:
                blas = ThreadpoolController().select(user_api="blas").limit(limits=most)
                self.usual = torch.get_num_threads(), blas
                torch.set_num_threads(most)

    def __exit__(self, *error: object) -> None:
        """The last block that ends gives the threads back."""
        with self.lock:
            self.inside -= 1
            if self.inside:
                return
            self.at_work.clear()
            if self.usual is not None:
                threads, blas = self.usual
                torch.set_num_threads(threads)
                blas.restore_original_limits()
                self.usual = None

    def _start(self) -> None:
        library = None if any(name in os.environ for name in SETTINGS) else gnu_openmp()
        if library is not None:
            watch = (library, self.at_work)
            threading.Thread(target=_watch, args=watch, name="recae-watch", daemon=True).start()


COMPUTING = _Computing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=COMPUTING.reset)


@functools.cache
def _quota() -> int | None:
    """The quota, read once, because a request for one user takes about a millisecond."""
    found, usual = cpu_quota(), torch.get_num_threads()
    if found is not None and usual > found:
        LOG.info("%d threads in place of %d, for the quota of this container", found, usual)
    return found
