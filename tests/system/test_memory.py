"""The most memory of this process in a block."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recae.system.memory import PeakMemory, resident

MEGABYTES = 64


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process holds")
def test_the_peak_counts_what_is_freed_before_the_end() -> None:
    before = resident()
    with PeakMemory() as memory:
        for _ in range(20):  # the memory is looked at every few milliseconds
            np.ones(MEGABYTES << 17).sum()
    assert memory.peak - before > 0.9 * MEGABYTES * 2**20
    assert memory.peak - resident() > 0.9 * MEGABYTES * 2**20
    assert not memory.is_alive()
