"""Output of a command: results on stdout; notes, progress and warnings on stderr."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import Any

from recae.system.files import plain
from recae.system.machine import __version__, cores
from recae.system.progress import say


@dataclass(frozen=True)
class Output:
    """How verbose a command is, and whether it prints results as JSON."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    @property
    def progress(self) -> bool | None:
        """The value for `progress=`: bars on a terminal unless --quiet is given."""
        return False if self.quiet else None

    def note(self, text: str) -> None:
        """Writes a note to stderr unless --quiet is given."""
        if not self.quiet:
            say(text)

    def detail(self, text: str) -> None:
        """Writes a note to stderr if --verbose is given."""
        if self.verbose:
            self.note(text)

    def result(self, text: str, content: Any) -> None:
        """Prints a result as text or as JSON."""
        print(as_json(content) if self.json else text, flush=True)

    def done(self, text: str, content: Any) -> None:
        """Reports that a file was written: as JSON with --json, else as a line unless --quiet."""
        if self.json or not self.quiet:
            self.result(text, content)

    def epoch(self, epoch: Any) -> None:
        """Writes a line for a `recae.training.Epoch`, for `fit(callbacks=)`."""
        measured = "".join(f"  {name} {value:.4f}" for name, value in epoch.metrics.items())
        self.detail(f"epoch {epoch.number}  {epoch.seconds:.1f} s  loss {epoch.loss:.4f}{measured}")


def as_json(content: Any) -> str:
    """Readable JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False, default=plain)


def versions() -> str:
    """The software that a run depends on, in one line."""
    import torch  # here, because `recae --help` needs none

    threads, found = torch.get_num_threads(), cores()
    return (
        f"recae {__version__}, torch {torch.__version__} ({min(threads, found)} threads on {found} "
        f"cores), Python {platform.python_version()}"
    )
