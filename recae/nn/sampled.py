"""Sampled softmax: the multinomial loss on a sample of the items.

Its cost grows with the interactions and the sample, not with the items. Its gradient is sparse: it
holds only the rows of the items in the batch and the sample.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recae.nn.batch import Ragged, Sample, bag, by_item, some_rows
from recae.nn.products import cells_of, product, row_chunks, scaled
from recae.nn.sharded import Shard

ENTRY_CELLS = 1 << 20
"""Numbers of item rows gathered at once: 2^20 are 4 MiB in float32."""

LOGIT_CELLS = 1 << 20
"""Logits held at once."""


def sampled_multinomial_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    target: Ragged,
    sample: Sample,
    products: torch.dtype | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """Minus the multinomial log likelihood with an estimated normaliser, averaged over rows.

    loss_u = -sum_i x_ui (f_ui - log Z_u). Z_u, the sum of exp(f_uj) over all items, is estimated:
    exp(f_ui) is summed over the items i of the row, and exp(f_uj) / pi_j over the items j of the
    sample that the row does not have. pi_j is the probability that j is in a sample. This estimate
    of Z_u is unbiased (Horvitz & Thompson 1952); the slopes are those of the loss with it. The
    sample holds all items of the rows. Shapes and shard as in `multinomial_loss`; gradients of
    weight and bias are sparse, with the rows of the sample.
    """
    loss: Tensor = _Sampled.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, target, sample, products, shard
    )
    return loss


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Ragged,
        sample: Sample,
        products: torch.dtype | None,
        shard: Shard | None,
    ) -> Tensor:
        """The loss over each row's own items and the drawn ones, and its gradients for those items
        alone. A drawn item that is one of the row's own counts once."""
        totals, width = target.row_sums(target.values / len(target)), len(sample.items)  # (rows,)
        if shard is not None:
            target, width = shard.own(target), -(-width // shard.ranks.size)
            sample = sample.columns(shard.start, shard.stop)
        narrow = (products if hidden.dtype == torch.float32 else None) or hidden.dtype
        h, w = hidden.to(narrow), weight.index_select(0, sample.items).to(narrow)  # w: (sampled, n)
        offset = bias[sample.items] - sample.log_chances
        rows, values = target.rows, target.values / len(target)
        own = _entry_scores(hidden, weight, bias, target)  # (nnz,)
        place = sample.places(target.indices)
        learning = any(ctx.needs_input_grad[1:3])
        loss, slopes, parts = -torch.dot(values, own), torch.empty_like(own), []
        grad_sample, grad_offset = torch.zeros_like(w, dtype=hidden.dtype), torch.zeros_like(offset)
        for chunk in row_chunks(len(hidden), width, cells_of(hidden.device, LOGIT_CELLS)):
            entries = target.entries(chunk)
            row, mine = rows[entries] - chunk.start, own[entries]
            rest = product(h[chunk], w.t()).to(hidden.dtype).add_(offset)  # what the others say
            rest[row, place[entries]] = -torch.inf
            top = rest.amax(1) if len(w) else rest.new_full((len(rest),), -torch.inf)
            top = top.scatter_reduce(0, row, mine, "amax")
            if shard is not None:
                top = shard.ranks.largest(top)
            rest.sub_(top[:, None]).exp_()
            shares = (mine - top[row]).exp_()
            norms = rest.sum(1).index_add_(0, row, shares)
            if shard is not None:
                norms = shard.ranks.summed(norms)
            if shard is None or shard.ranks.rank == 0:
                loss += torch.dot(totals[chunk], top + norms.log())
            size = totals[chunk] / norms
            rest.mul_(size[:, None])  # slopes from here on
            slopes[entries] = shares.mul_(size[row]).sub_(values[entries])
            rounded = rest.to(narrow)
            parts.append(product(rounded, w).to(hidden.dtype))
            if learning:
                grad_sample += product(rounded.t(), h[chunk])
                grad_offset += rest.sum(0)
        grad_hidden = torch.cat(parts).add_(bag(weight, target.with_values(slopes)))
        if not learning:
            ctx.save_for_backward(grad_hidden)
            return loss
        grad_rows = by_item(hidden, rows, slopes, place, len(sample.items)).add_(grad_sample)
        grad_bias = slopes.new_zeros(len(sample.items)).index_add_(0, place, slopes)
        grad_bias.add_(grad_offset)
        ctx.save_for_backward(grad_hidden, sample.items, grad_rows, grad_bias)
        ctx.n_items = len(weight)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if len(ctx.saved_tensors) == 1:
            return (*scaled(ctx.saved_tensors, upstream), *[None] * 6)
        grad_hidden, items, *of_items = ctx.saved_tensors
        grad_hidden, *of_items = scaled([grad_hidden, *of_items], upstream)
        rows = (some_rows(items, grad, ctx.n_items) for grad in of_items)
        return (grad_hidden, *rows, *[None] * 4)


def _entry_scores(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """The scores of the entries of a target, (nnz,), without a gradient."""
    scores = bias[target.indices]
    cells = cells_of(hidden.device, ENTRY_CELLS)
    for part in row_chunks(len(scores), hidden.shape[1], cells):
        rows, items = target.rows[part], target.indices[part]
        scores[part] += torch.linalg.vecdot(
            hidden.index_select(0, rows), weight.index_select(0, items)
        )
    return scores
