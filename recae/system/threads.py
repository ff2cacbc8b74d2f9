"""Thread pools, BLAS limited to one thread, and safe computation after a fork."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import torch
from threadpoolctl import ThreadpoolController

from recae.system.openmp import COMPUTING


class _OneBlas:
    """Limits BLAS to one thread inside the block: `implicit` has its own threads and is slow
    otherwise.

    The number of threads belongs to the process: it is restored when the last thread leaves such a
    block.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.limits: Any = None
        self.controller: ThreadpoolController | None = None
        self.modules = 0

    def _libraries(self) -> ThreadpoolController:
        """The loaded BLAS libraries. The search takes longer than one recommendation, so it is
        repeated only after new imports."""
        if self.controller is None or self.modules != len(sys.modules):
            self.controller, self.modules = ThreadpoolController(), len(sys.modules)
        return self.controller

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limits = self._libraries().limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limits.restore_original_limits()


ONE_BLAS = _OneBlas()


P = ParamSpec("P")
R = TypeVar("R")


class _Process:
    """The state of this process: whether it was forked, and its worker thread."""

    def __init__(self) -> None:
        self.survivor: int | None = None
        self.worker: ThreadPoolExecutor | None = None

    def forked(self) -> None:
        """Called in a new child, by the one thread that survives a fork."""
        self.survivor, self.worker = threading.get_ident(), None


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.forked)


def survives_fork(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function in a new thread if its caller is the only thread of a forked process; and
    with the OpenMP threads that `openmp.py` describes, in any process.

    OpenMP, which torch and implicit compute with, keeps a pool of threads for every thread that has
    used it. A fork copies the pool but not the threads in it, and the next computation waits for
    them for ever. A thread that was started after the fork gets a pool of its own. Everywhere else
    the function is simply called. (Ctrl-C in such a child ends the program without the answer.)

    >>> survives_fork(abs)(-3)
    3
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with COMPUTING:
            if _PROCESS.survivor != threading.get_ident():
                return function(*args, **kwargs)
            _PROCESS.worker = _PROCESS.worker or ThreadPoolExecutor(1, "recae")
            context = contextvars.copy_context()  # `recae.distributed` is one
            return _PROCESS.worker.submit(lambda: context.run(function, *args, **kwargs)).result()

    return wrapper


Part = TypeVar("Part")
Result = TypeVar("Result")


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """work(part) of each part, in their order, on as many threads as torch computes with.

    A piece is computed on one thread from beginning to end. Threads that share every single
    operation have to wait for each other after each of them, which costs most where other
    processes want the cores too.

    >>> in_threads(abs, [-1, 2])
    [1, 2]
    """
    usual = torch.get_num_threads()
    if min(usual, len(parts)) <= 1:
        return [work(part) for part in parts]
    return list(_workers(usual).map(work, parts))


@functools.cache
def _workers(usual: int) -> ThreadPoolExecutor:
    """Threads that stay, because each of them is a disturbance when it starts: see `_alone`."""
    return ThreadPoolExecutor(usual, "recae", _alone, (usual,))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)


def _alone(usual: int) -> None:
    """Lets torch compute with one thread in this thread, and with the usual number in others.

    torch keeps a number for each thread and one for threads that have not used it yet, and sets
    both at once. So another thread has to set the second one back. A thread that uses torch for the
    first time in between would keep the 1.
    """
    torch.get_num_threads()  # this thread has used it now, and keeps its own number
    torch.set_num_threads(1)
    restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
    restore.start()
    restore.join()
