"""The most memory of this process in a block."""

from __future__ import annotations

import mmap
import sys
import time

import pytest

from recae.system.memory import PeakMemory, resident

MEGABYTES = 64


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process holds")
def test_the_peak_counts_what_is_freed_before_the_end() -> None:
    size = MEGABYTES * 2**20
    before, limit = resident(), time.monotonic() + 10
    with PeakMemory() as memory, mmap.mmap(-1, size) as pages:  # never memory of the heap again
        pages[:: mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)
        while memory.peak - before < 0.9 * size and time.monotonic() < limit:
            time.sleep(0.005)
    assert memory.peak - before > 0.9 * size
    assert memory.peak - resident() > 0.9 * size
    assert not memory.is_alive()
