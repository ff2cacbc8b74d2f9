"""What a command says: results on stdout; notes, progress and warnings on stderr."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from recae.system.files import plain
from recae.system.machine import __version__
from recae.training import Epoch


@dataclass(frozen=True)
class Output:
    """How much is said, and whether results are JSON."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    @property
    def progress(self) -> bool | None:
        """What functions with `progress=` are given: bars on a terminal unless it is quiet."""
        return False if self.quiet else None

    def note(self, text: str) -> None:
        """What happens, on stderr."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)  # above a bar, if there is one

    def detail(self, text: str) -> None:
        """What only --verbose tells."""
        if self.verbose:
            self.note(text)

    def result(self, text: str, content: Any) -> None:
        """What was asked for, as text or as JSON."""
        print(as_json(content) if self.json else text, flush=True)

    def done(self, text: str, content: Any) -> None:
        """That a file was written: JSON if asked for, else a line unless it is quiet."""
        if self.json or not self.quiet:
            self.result(text, content)

    def epoch(self, epoch: Epoch) -> None:
        """A line for each epoch, for `fit(callbacks=)`."""
        measured = "".join(f"  {name} {value:.4f}" for name, value in epoch.metrics.items())
        self.detail(f"epoch {epoch.number}  {epoch.seconds:.1f} s  loss {epoch.loss:.4f}{measured}")


def as_json(content: Any) -> str:
    """Readable JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False, default=plain)


def versions() -> str:
    """The software that a run depends on, in one line."""
    return (
        f"recae {__version__}, torch {torch.__version__} ({torch.get_num_threads()} threads), "
        f"Python {platform.python_version()}"
    )
