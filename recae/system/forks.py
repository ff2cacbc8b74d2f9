"""Work that does not hang in a process that was forked."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Process:
    """What is known of this process: whether it was forked, and the thread that works there."""

    def __init__(self) -> None:
        self.survivor: int | None = None
        self.worker: ThreadPoolExecutor | None = None

    def forked(self) -> None:
        """Called in a new child, by the one thread that survives a fork."""
        self.survivor, self.worker = threading.get_ident(), None

    def stranded(self) -> bool:
        """Whether the caller is the thread that survived the fork."""
        return self.survivor == threading.get_ident()

    def thread(self) -> ThreadPoolExecutor:
        if self.worker is None:
            self.worker = ThreadPoolExecutor(1, "recae")
        return self.worker


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.forked)


def survives_fork(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function in a thread of its own if its caller is what a fork has left of a process.

    OpenMP, which torch and implicit compute with, keeps a pool of threads for every thread that has
    used it. A fork copies the pool but not the threads in it, and the next computation waits for
    them for ever. A thread that was started after the fork gets a pool of its own. Everywhere else
    the function is simply called. (Ctrl-C in such a child ends the program without the answer.)

    >>> survives_fork(abs)(-3)
    3
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if _PROCESS.stranded():
            return _PROCESS.thread().submit(function, *args, **kwargs).result()
        return function(*args, **kwargs)

    return wrapper
