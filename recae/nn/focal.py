"""The focal loss of a product of sigmoids, with its gradients in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recae.nn.batch import Ragged
from recae.nn.products import row_chunks, scaled

ALPHA, GAMMA = 0.25, 2.0
"""Parameters of the focal loss (Lin et al. 2017), with the values of Vancura & Kordik."""

CERTAIN = 1e-6
"""A probability is held this far from one, where its complement would have no logarithm."""

TILE_CELLS = 1 << 17
"""Scores of one part that a CPU turns into gradients at once, with a dozen matrices as large: they
stay in the cache."""


def focal_loss(parts: Sequence[Tensor], target: Ragged) -> Tensor:
    """The focal loss over all items, averaged over rows, of p = product of the sigmoids of parts.

    With log p at most -CERTAIN: the sum over the entries of -x a (1 - p)^g log p, and over all
    other items of -(1 - a) p^g log(1 - p). parts: (rows, n_items) each, maybe of a narrower type
    than the values of the target, in which all is computed; target: ragged rows.
    """
    loss: Tensor = _Focal.apply(target, *parts)  # type: ignore[no-untyped-call]
    return loss


class _Focal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, target: Ragged, *parts: Tensor) -> Tensor:
        """The loss and its gradients, some rows at a time."""
        rows, width = parts[0].shape
        grads = [torch.empty_like(part) for part in parts]
        loss = target.values.new_zeros(())
        on_cpu = parts[0].device.type == "cpu"
        for some in row_chunks(rows, width, TILE_CELLS if on_cpu else rows * width):
            scores = [part[some].to(target.values.dtype) for part in parts]
            log_p = F.logsigmoid(scores[0])
            for score in scores[1:]:
                log_p += F.logsigmoid(score)
            entries = target.entries(some)
            cells = target.rows[entries] - some.start, target.indices[entries]
            loss += _slope(log_p, cells, target.values[entries] / rows, rows)
            for grad, score in zip(grads, scores, strict=True):
                grad[some] = (-score).sigmoid_().mul_(log_p)  # of log sigmoid
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *scaled(ctx.saved_tensors, upstream))


def _slope(log_p: Tensor, cells: tuple[Tensor, Tensor], values: Tensor, rows: int) -> Tensor:
    """What some rows add to the mean over all `rows`; in place of log p its derivative. values: of
    the entries, over `rows`."""
    others = (1 - ALPHA) / rows
    certain = log_p > -CERTAIN
    log_p.clamp_max_(-CERTAIN)
    p, q = log_p.exp(), torch.expm1(log_p).neg_()
    log_q, power = q.log(), p.pow(GAMMA)
    of_p, of_q, seen = p[cells], q[cells], log_p[cells]
    positive = -ALPHA * of_q.pow(GAMMA) * values
    total = (positive * seen + others * power[cells] * log_q[cells]).sum()
    total -= others * torch.dot(power.view(-1), log_q.view(-1))
    # d/dlog p of p^g log(1 - p) is p^g (g log(1 - p) - p / (1 - p)).
    torch.sub(log_q.mul_(GAMMA), p.div_(q), out=log_p)
    log_p.mul_(power).mul_(-others)
    log_p[cells] = positive * (1 - GAMMA * of_p / of_q * seen)
    log_p.masked_fill_(certain, 0)
    return total
