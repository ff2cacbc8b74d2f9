"""The progress bar: shown in a terminal only, and only after two seconds."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from recae.errors import ConfigError

DELAY = 2.0
"""Seconds of silence before a bar appears; short work shows none."""


def check_progress(progress: object) -> bool | None:
    """The value as given. Raises ConfigError unless it is True, False or None."""
    if progress is None or isinstance(progress, bool):
        return progress
    raise ConfigError(
        f"progress must be True, False or None (ask the terminal), not {progress!r}",
        parameter="progress",
        value=progress,
    )


def bar(total: int | None, what: str, unit: str, progress: bool | None, *, initial: int = 0) -> Any:
    """A tqdm bar on stderr. `progress`: True shows it, False hides it, None asks the terminal.

    total: None if it is not known. initial: progress made before; it does not count as speed. The
    unit "B" is shown as kB, MB and so on.
    """
    shown = sys.stderr.isatty() if check_progress(progress) is None else progress
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=not shown,
        delay=DELAY,
        dynamic_ncols=True,
    )
