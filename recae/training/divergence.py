"""Whether a training has led anywhere: its loss beside that of the network it began with."""

from __future__ import annotations

import torch
from torch import Tensor

from recae.errors import warn
from recae.nn import AutoencoderNet, Batch
from recae.rng import Stream, torch_generator
from recae.training.accumulate import Accumulation
from recae.training.loaders.histories import Loader
from recae.training.objective import Objective
from recae.training.state import Epoch

ROWS = 1000
"""Users that the loss before training is averaged over, at least, where there are so many."""

FACTOR = 2.0
"""How far a loss may lie above that of the untrained network: which users were drawn, and what
is dropped and drawn within them, moves it by far less."""


def starting_loss(
    net: AutoencoderNet,
    loader: Loader,
    objective: Objective,
    updates: int,
    seed: int,
    accumulation: Accumulation,
) -> float:
    """The mean loss of a network as it is, over the first batches of the first epoch.

    Of a batch the reconstruction alone counts where that is more: a KL term that is estimated from
    one draw may be below zero, and bring the sum near it.

    Terms are weighted as after so many updates: a KL term that is annealed makes a loss rise that
    falls at equal weights. The noise is a stream of its own and leaves that of the training alone.
    A batch that does not fit in memory is cut by `accumulation`, which keeps what it has learnt.
    """
    device = next(net.parameters()).device
    noise = torch_generator(seed, Stream.UNTRAINED, device=device)
    losses, rows = [], 0

    def loss(part: Batch) -> Tensor:
        scores, terms = net(part, noise)
        whole = objective(scores, terms, part, updates)
        return torch.maximum(whole, scores.loss(objective.reconstruction, part.target))

    net.train()
    with torch.no_grad():
        for batch in loader.epoch(1):
            losses.append(float(accumulation.backward(batch.to(device), loss, (), noise)))
            rows += len(batch.target)
            if rows >= ROWS:
                break
    return sum(losses) / len(losses)


def warn_if_diverged(name: str, kept: Epoch, start: float, lr: float) -> None:
    """Warns of a loss far above that of the untrained network: finite, but no training."""
    if kept.loss > FACTOR * abs(start):
        warn(
            f"the training of {name} has diverged: its mean loss is {kept.loss:.4g} in epoch "
            f"{kept.number}, whose weights are kept, and was {start:.4g} before the first update: "
            f"lower lr (now {lr}), or look for extreme weights in the data if they reach the model"
        )
