"""What is told of each epoch, and to whom. A model that is loaded for serving keeps its epochs too:
this file imports none of the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """One finished epoch: its number from 1, mean training loss, seconds, validation metrics.

    >>> losses = []
    >>> model = recae.MultVAE(latent=2, hidden=(3,), epochs=2)
    >>> model = model.fit(data, callbacks=[lambda epoch: losses.append(epoch.loss)])
    >>> len(losses)
    2
    """

    number: int
    loss: float
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


Callback = Callable[[Epoch], "bool | None"]
"""Called after every epoch; returning True ends the training (the best state is still kept)."""
