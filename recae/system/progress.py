"""Signs of life: a bar in terminals and notebooks, a line every few seconds in logs."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from tqdm import tqdm

from recae.errors import ConfigError

DELAY = 2.0
"""Seconds of silence before a bar appears; short work shows none."""
FIRST, EVERY = 5.0, 10.0
"""Seconds before the first line in a log, and between two lines."""
UNITS = {"B": "", "s": " s", "batch": " batches"}
"""Units that have no plural in -s."""


class Lines:
    """What the code uses of a tqdm bar, for logs: lines that stay, one in `EVERY` seconds.

    A line is written when there is progress; there is no thread that would write otherwise.
    """

    def __init__(self, total: float | None, what: str, unit: str, initial: float = 0) -> None:
        self.total, self.what, self.unit, self.n, self.initial = total, what, unit, initial, initial
        self.started = time.monotonic()
        self.due = self.started + FIRST
        self.written: float | None = None  # the progress that the last line told
        self.more = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.written not in (None, self.n) and error[:1] == (None,):
            self.total = self.n  # the work may have ended early
            self._write()

    def update(self, n: float = 1) -> None:
        """Counts progress, and writes a line if it is time for one."""
        self.n += n
        if time.monotonic() >= self.due:
            self._write()

    def reset(self, total: float | None = None) -> None:
        """Starts again from nothing; pooch does so at the end of a download."""
        self.n, self.total = self.initial, self.total if total is None else total

    def close(self) -> None:
        """Nothing is open: every line is written at once."""

    def set_postfix(self, facts: Mapping[str, object]) -> None:
        """What the next lines say at their end."""
        self.more = "".join(f", {name} {value}" for name, value in facts.items())

    def _write(self) -> None:
        """Writes how far it is, how fast, and how long the rest will take."""
        now = time.monotonic()
        self.written, self.due, spent = self.n, now + EVERY, now - self.started
        done = self.n - self.initial
        line = f"{self.what}: {self._amount(self.n)}"
        if self.total:
            line += f" of {self._amount(self.total)}"
        line += UNITS.get(self.unit, f" {self.unit}s")
        if self.total:
            line += f" ({self.n / self.total:.0%})"
        line += f", {tqdm.format_interval(spent)}"
        if self.unit != "s" and spent <= done:
            line += f", {self._amount(done / spent)}{UNITS.get(self.unit, f' {self.unit}s')}/s"
        if self.total and done and self.n < self.total:
            left = spent * (self.total - self.n) / done
            line += f", about {tqdm.format_interval(left)} left"
        say(line + self.more)

    def _amount(self, n: float) -> str:
        return tqdm.format_sizeof(n, "B") if self.unit == "B" else f"{n:,.0f}"


class Bar(tqdm):  # type: ignore[misc]
    """A bar that ends at 100 % where the work ended early without an error, as a fit may.

    Facts do not show it before the delay either, as those of a tqdm bar do, which then stay behind.
    """

    def refresh(self, *options: Any, **named: Any) -> Any:
        """Draws the bar, unless the delay is not over."""
        if self.disable or self._time() < (first := getattr(self, "start_t", 0) + self.delay):
            return False
        self.last_print_t = max(getattr(self, "last_print_t", 0), first)  # so `close` draws it
        return super().refresh(*options, **named)

    def __exit__(self, *error: Any) -> None:
        if error[0] is None and self.n:
            self.total = self.n
        super().__exit__(*error)


class Output(Bar):
    """A bar that is one output of a notebook's cell, which each step replaces.

    On stderr each step would be an output of its own in a notebook that is run without a browser.
    It needs no ipywidgets. The tqdm bar writes into memory what only a terminal needs.
    """

    def __init__(self, **settings: Any) -> None:
        self.shown: Any = None
        super().__init__(file=io.StringIO(), ascii=False, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Shows the bar, or replaces what is shown."""
        from IPython import display

        text = {"text/plain": str(self) if msg is None else msg}
        if self.shown is None:
            show: Any = display.display
            self.shown = show(text, raw=True, display_id=True)
        else:
            self.shown.update(text, raw=True)
        return True


def say(text: str, progress: bool | None = None) -> None:
    """Writes a line to stderr, above a bar if there is one; nothing with `progress=False`."""
    if progress is not False and sys.stderr is not None:
        tqdm.write(text, file=sys.stderr)


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
    """A tqdm bar on stderr, or in the output of a notebook. `progress`: True shows it, False hides
    it; None shows it in a terminal or a notebook, and elsewhere, as in a log, a line every few
    seconds.

    total: None if it is not known. initial: progress made before; it does not count as speed. The
    unit "B" is shown as kB, MB and so on.
    """
    asked = check_progress(progress)
    if asked is None and sys.stderr is not None and not (_in_terminal() or in_notebook()):
        return Lines(total, what, unit, initial)
    settings = {"desc": what, "unit": unit, "unit_scale": unit == "B", "delay": DELAY}
    if unit == "s" and total:  # seconds per second say nothing
        settings["bar_format"] = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
    # Spyder's console is a kernel, too, but cannot replace what it has shown.
    if in_notebook() and asked is not False and "spyder_kernels" not in sys.modules:
        return Output(total=total, initial=initial, **settings)
    hidden = asked is False or sys.stderr is None
    return Bar(total=total, initial=initial, disable=hidden, dynamic_ncols=True, **settings)


def _in_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, such as Jupyter's or Colab's.

    IPython is only asked if it is loaded. Its terminal is no notebook: it has a terminal.
    """
    found = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return found is not None and getattr(found, "kernel", None) is not None
