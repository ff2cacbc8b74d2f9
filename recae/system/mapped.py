"""Pages of memory-mapped files."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np


def release(*arrays: np.ndarray) -> None:
    """Gives pages of memory-mapped files back to the system, which reads them again when needed.

    Without it, a process that goes through a large file seems to hold all of it. Other arrays, and
    maps that may be written to, are left alone.
    """
    for array in arrays:
        holder: Any = array
        while isinstance(holder, np.ndarray):
            if isinstance(holder, np.memmap) and holder.mode not in ("r", None):
                break
            holder = holder.base
        if sys.platform != "win32" and isinstance(holder, mmap.mmap):
            holder.madvise(mmap.MADV_DONTNEED)
