"""The most memory that this process holds while a block runs."""

from __future__ import annotations

import mmap
import threading
from contextlib import suppress
from pathlib import Path

EVERY = 0.005
"""Seconds between two looks at the memory."""


class PeakMemory(threading.Thread):
    """`peak`: the most bytes that this process holds while the block runs.

    >>> with PeakMemory() as memory:
    ...     size = len(bytearray(1 << 26))
    >>> memory.peak >= resident()
    True
    """

    def __init__(self) -> None:
        super().__init__(name="recae memory", daemon=True)
        self.peak, self.ended = resident(), threading.Event()

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.join()
        self.peak = max(self.peak, resident())

    def run(self) -> None:
        while not self.ended.wait(EVERY):
            self.peak = max(self.peak, resident())


def resident() -> int:
    """Bytes that this process holds now; 0 where the system does not say so."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    return 0
