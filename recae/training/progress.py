"""The progress bar: nothing for the first two seconds, nothing at all away from a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

DELAY = 2.0
"""Seconds of silence before a bar appears; short work shows none."""


def bar(total: int, what: str, unit: str, progress: bool | None) -> Any:
    """A tqdm bar on stderr. `progress`: True shows it, False hides it, None asks the terminal."""
    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(
        total=total, desc=what, unit=unit, disable=not shown, delay=DELAY, dynamic_ncols=True
    )
