"""Threads of OpenMP that sleep while they wait, and no more of them than cores may be used."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import threading
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from recae.system.machine import cpu_quota

LOG = logging.getLogger("recae")

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Environment variables by which a user says how threads wait; then nothing is changed."""


@functools.cache
def let_threads_sleep() -> bool:
    """Lets waiting threads of torch's OpenMP sleep after some 50 µs; returns whether it had to.

    GNU's OpenMP lets a thread that waits for the others spin for 300,000 turns, some 15 ms, before
    it sleeps. Where other processes want the cores, it spins on the core that the thread it waits
    for needs, and training is many times slower. It spins for 1,000 turns only once the process has
    more OpenMP threads than cores (libgomp's manual, GOMP_SPINCOUNT). So one idle thread here holds
    as many OpenMP threads as there are cores. They sleep, too, and cost no time. The number of
    threads that compute, and the bits of results, stay the same.

    Does nothing where the user has chosen by one of `SETTINGS`, and with another OpenMP.
    """
    library = _gnu_openmp()
    if library is None or any(name in os.environ for name in SETTINGS):
        return False
    held = threading.Event()
    threading.Thread(target=_hold, args=(library, held), name="recae-openmp", daemon=True).start()
    held.wait()
    return True


def _hold(library: ctypes.CDLL, held: threading.Event) -> None:
    """Starts a team of OpenMP threads, which exists as long as this thread."""
    nothing = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p)  # the work of the team
    library.GOMP_parallel(nothing, None, max(os.cpu_count() or 1, 2), 0)
    held.set()
    threading.Event().wait()


def _gnu_openmp() -> ctypes.CDLL | None:
    """The OpenMP library that torch computes with, if it is GNU's."""
    here = os.path.dirname(torch.__file__)
    for info in ThreadpoolController().select(user_api="openmp").info():
        path = info["filepath"]
        if info["prefix"] == "libgomp" and (here in path or f"{here}.libs" in path):
            return ctypes.CDLL(path)
    return None


class _WithinQuota:
    """Keeps torch and BLAS to as many threads as the container of this process has cores.

    They count the cores of the machine or of the affinity, and not the share of time that a
    container has. With more threads than that all of them are stopped for a part of every tenth of
    a second. The numbers of threads belong to the process: they are restored when the last block is
    left.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.usual: tuple[int, Any] | None = None

    def __enter__(self) -> None:
        most = _quota()
        with self.lock:
            self.inside += 1
            if most is not None and self.usual is None and torch.get_num_threads() > most:
                blas = ThreadpoolController().select(user_api="blas").limit(limits=most)
                self.usual = torch.get_num_threads(), blas
                torch.set_num_threads(most)

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside and self.usual is not None:
                threads, blas = self.usual
                torch.set_num_threads(threads)
                blas.restore_original_limits()
                self.usual = None


WITHIN_QUOTA = _WithinQuota()


@functools.cache
def _quota() -> int | None:
    """The quota, read once, because a request for one user takes less than a millisecond."""
    found = cpu_quota()
    if found is not None and torch.get_num_threads() > found:
        LOG.info(
            "%d threads in place of %d: the quota of this container", found, torch.get_num_threads()
        )
    return found
