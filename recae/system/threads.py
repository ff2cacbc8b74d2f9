"""Runs independent pieces of work on several threads, each of which computes on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

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
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        return [work(part) for part in parts]
    usual = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, "recae", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        # torch keeps a number in every thread and one for threads to come, and sets both at once.
        torch.set_num_threads(usual)
