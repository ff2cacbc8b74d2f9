"""Whether a training led anywhere: its loss against that of the untrained network, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from recae.errors import warn
from recae.nn import AutoencoderNet, Batch
from recae.rng import Stream, torch_generator
from recae.system.rounding import full_sums
from recae.training.batches import Loader
from recae.training.objective import Accumulation, Objective

STARTING_ROWS = 1000
"""The loss before training is averaged over at least so many users, if there are so many."""

DIVERGED = 2.0
"""A training has diverged if its loss is so many times that of the untrained network. The
choice of users and the noise change the loss by far less."""


def starting_loss(
    net: AutoencoderNet,
    loader: Loader,
    objective: Objective,
    updates: int,
    seed: int,
    accumulation: Accumulation,
) -> float:
    """The mean loss of an untrained network, over the first batches of the first epoch.

    For each batch the larger one of the loss and the reconstruction loss counts. A KL term that is
    estimated from one sample can be negative, and bring the loss near zero.

    The terms have their weights after `updates` updates: with an annealed KL term the loss rises
    during training though it falls at equal weights. The noise comes from a random stream of its
    own. A batch that does not fit in memory is cut by `accumulation`, which remembers the size.
    """
    device = next(net.parameters()).device
    noise = torch_generator(seed, Stream.UNTRAINED, device=device)
    losses, rows = [], 0

    ranks = accumulation.ranks

    def loss(part: Batch) -> Tensor:
        part = replace(part, ranks=ranks)
        scores, terms = net(part, noise)
        whole = objective(scores, terms, part, updates)
        both = torch.stack([whole, scores.loss(objective.reconstruction, part.target)])
        return (both if ranks is None else ranks.summed(both)).max()

    net.train()
    with torch.no_grad(), full_sums(device):
        for batch in loader.epoch(1):
            losses.append(float(accumulation.backward(batch.to(device), loss, (), noise)))
            rows += len(batch.target)
            if rows >= STARTING_ROWS:
                break
    return sum(losses) / len(losses)


def warn_if_diverged(name: str, loss: float, number: int, start: float, lr: float) -> None:
    """Warns if the loss, that of epoch `number`, is far above that of the untrained network."""
    if loss > DIVERGED * abs(start):
        warn(
            f"the training of {name} has diverged: its mean loss is {loss:.4g} in epoch "
            f"{number}, whose weights are kept, and was {start:.4g} before the first update: "
            f"lower lr (now {lr}), or look for extreme weights in the data if they reach the model"
        )


ENOUGH_EPOCHS = 30
"""Epochs below which the end of a training is not judged: there are too few losses, and who asks
for so few does not ask for the end."""

STILL = 0.02
"""A training has not converged if its last tenth has brought more than this share of the fall."""

NOISE = 3.0
"""The fall must be so many of its standard errors: the loss of an epoch is noisy."""


def late_fall(losses: Sequence[float]) -> float:
    """The share of the fall of the losses that the last tenth of the epochs has brought.

    That is the mean of the last tenth of the losses against the mean of as many before them,
    relative to the fall from the first epoch. 0 for fewer than `ENOUGH_EPOCHS` losses, and
    where the difference is within the noise around the straight line through both parts.
    """
    if len(losses) < ENOUGH_EPOCHS:
        return 0.0
    size = len(losses) // 10
    end = losses[-2 * size :]
    before, last = fmean(end[:size]), fmean(end[size:])
    fall, total = before - last, losses[0] - last
    if fall <= 0 or total <= 0:
        return 0.0
    places = [2 * place - (2 * size - 1) for place in range(2 * size)]
    slope = sum(p * loss for p, loss in zip(places, end, strict=True)) / sum(p * p for p in places)
    mean = fmean(end)
    off = [loss - mean - slope * p for p, loss in zip(places, end, strict=True)]
    deviation = (sum(o * o for o in off) / (2 * size - 2)) ** 0.5
    return fall / total if fall > NOISE * deviation * (2 / size) ** 0.5 else 0.0


def warn_if_not_converged(name: str, losses: Sequence[float], planned: int) -> None:
    """Warns if all planned epochs ran and the loss still fell markedly at the end."""
    share = late_fall(losses)
    if len(losses) == planned and share > STILL:
        warn(
            f"{name} has not converged: the last tenth of its {planned} epochs brought "
            f"{share:.0%} of the fall of the loss (from {losses[0]:.4g} to {losses[-1]:.4g}): "
            "raise epochs or lr"
        )
