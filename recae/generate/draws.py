"""Items drawn without replacement, and how likely each was to be among them."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-30


def races(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Gumbel noise (rows, n_items): what `drawn` adds to the logarithms of weights."""
    return torch.empty(shape).exponential_(generator=generator).clamp_(min=TINY).log_().neg_()


def drawn(logs: Tensor, noise: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """So many items of each row, one after the other by their weights, none twice.

    logs, noise: (rows, n_items); lengths: (rows,) int64, at most n_items. The items with the
    highest logs + noise are such a draw (Vieira 2014; Kool, van Hoof & Welling, ICML 2019).
    Returns the columns, row after row, (sum of lengths,), and where each row's end, (rows + 1,).
    """
    most = int(lengths.max())
    columns = (logs + noise).topk(most, dim=1).indices  # (rows, most)
    wanted = torch.arange(most, device=columns.device) < lengths.to(columns.device)[:, None]
    columns = torch.where(wanted, columns, logs.shape[1]).sort(dim=1).values
    kept = columns[columns < logs.shape[1]]
    return kept, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def inclusion(logs: Tensor, noise: Tensor, lengths: Tensor) -> Tensor:
    """An unbiased estimate of how likely each item was to be drawn, (rows, n_items).

    Given the noise of all others, an item is drawn if its own lifts it above the n-th highest of
    them, t: with probability 1 - exp(-exp(log - t)) (priority sampling, Duffield, Lund & Thorup
    2007). It says of every item what a count says only of those drawn.
    """
    n_items, lengths = logs.shape[1], lengths.to(logs.device)
    perturbed = logs + noise
    most = min(int(lengths.max()) + 1, n_items)
    highest = perturbed.topk(most, dim=1).values  # (rows, most)
    last = highest.gather(1, (lengths - 1)[:, None])
    beyond = highest.gather(1, lengths.clamp(max=most - 1)[:, None])
    beyond = torch.where((lengths < n_items)[:, None], beyond, -torch.inf)
    threshold = torch.where(perturbed >= last, beyond, last)
    return -torch.expm1(-(logs - threshold).exp())
