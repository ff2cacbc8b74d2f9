"""What is told of each epoch, and to whom. A model that is loaded for serving keeps its epochs too:
this file imports none of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recae.errors import ConfigError


@dataclass(frozen=True)
class Epoch:
    """One finished epoch: its number from 1, mean training loss, seconds, validation metrics."""

    number: int
    loss: float
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


Callback = Callable[[Epoch], "bool | None"]
"""Called after every epoch; returning True ends the training (the best state is still kept)."""


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """One callback or several as a tuple. Raises ConfigError for what cannot be called."""
    several = isinstance(callbacks, Iterable) and not callable(callbacks)
    found = tuple(callbacks) if several else (callbacks,)
    for callback in found:
        if not callable(callback):
            raise ConfigError(
                f"callbacks must be functions of an Epoch, not {callback!r}",
                parameter="callbacks",
                value=callback,
            )
    return found
