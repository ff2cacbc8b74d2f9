"""The exceptions and warnings that a user of recae meets. Every mistake of a user raises one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class RecaeError(Exception):
    """Base of every exception that recae raises on purpose."""


class DataError(RecaeError, ValueError):
    """The data given cannot be used as they are: the message names the culprit and the remedy."""


class ConfigError(RecaeError, ValueError):
    """An option or hyperparameter is unknown, out of range or does not fit the others."""


class NotFittedError(RecaeError, AttributeError):
    """The model must be fitted (or loaded) before this can be asked of it."""


class TrainingError(RecaeError, RuntimeError):
    """Training could not go on, for instance because the loss is no longer a number."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended the training; the model is fitted and keeps its best state so far.

    epochs: the finished epochs. Not a RecaeError: like every KeyboardInterrupt it ends the program
    unless it is caught.
    """

    def __init__(self, message: str, epochs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.epochs = epochs


class StorageError(RecaeError, OSError):
    """Writing failed (full disk, no permission, target in the way); what was there is untouched."""


class DownloadError(RecaeError, OSError):
    """A file could not be fetched: unreachable, missing, cut off or other than expected."""


class CapacityError(RecaeError, MemoryError):
    """The computation would not fit in memory; the message says how much it needs."""


class RecaeWarning(UserWarning):
    """Something was left out or will cost more than expected; the message says what or how much."""


def unknown_option(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """A ConfigError for an option that does not exist, with the nearest spelling and the list."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}")
