"""Memory on Windows: its call is replaced by one that does what is documented."""

from __future__ import annotations

import ctypes
import struct
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from recae.system.machine import free_memory, total_memory


def test_windows_says_how_much_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # MEMORYSTATUSEX: two numbers of 32 bits, then seven of 64; the call checks the first, its size.
    layout = struct.Struct("<II7Q")

    def status(pointer: Any) -> int:
        if ctypes.string_at(pointer, 4) != struct.pack("<I", layout.size):
            return 0
        ctypes.memmove(pointer, layout.pack(64, 25, 16 << 30, 12 << 30, 1, 2, 3, 4, 5), 64)
        return 1

    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert (total_memory(), free_memory()) == (16 << 30, 12 << 30)
