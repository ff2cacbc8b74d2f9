"""Scores that are a mixture of cosines, and their likelihood with its gradient formed at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recae.errors import unknown_option
from recae.nn.batch import Ragged
from recae.nn.chunks import row_chunks
from recae.nn.losses import CHUNK_CELLS
from recae.nn.products import affine

TEMPERATURE = 0.1
"""tau: cosines are divided by it (Ma et al. 2019)."""


@dataclass(frozen=True)
class MixtureScores:
    """log sum_k exp(z_k . h_i / tau + log c_ik), unevaluated.

    codes: (rows, n_concepts, latent) and items: (n_items, latent), of length one; shares:
    (n_items, n_concepts), logs.
    """

    codes: Tensor
    items: Tensor
    shares: Tensor

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """Minus the multinomial log likelihood, averaged over rows."""
        if kind != "multinomial":
            raise unknown_option("reconstruction loss", kind, ["multinomial"])
        if not isinstance(target, Ragged):
            raise TypeError("the multinomial loss takes a ragged target")
        loss: Tensor = _Likelihood.apply(  # type: ignore[no-untyped-call]
            self.codes, self.items, self.shares, target
        )
        return loss

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return self._of(self.items, self.shares)

    def columns(self, items: Tensor) -> Tensor:
        """The scores of some columns, (rows, len(items)) float32."""
        return self._of(self.items[items], self.shares[items])

    def _of(self, items: Tensor, shares: Tensor) -> Tensor:
        total: Tensor | None = None
        for codes, share in zip(self.codes.unbind(1), shares.unbind(1), strict=True):
            one = affine(codes / TEMPERATURE, items, share.contiguous())
            total = one if total is None else torch.logaddexp(total, one)
        assert total is not None
        return total


class _Likelihood(torch.autograd.Function):
    """-sum_i x_i log(p_i / sum_j p_j) with p_i = sum_k e_ki and e_ki = c_ik exp(z_k . h_i / tau).

    Cosines are at most one, so that no e is above exp(1 / tau), a number that float32 can hold. The
    slope in e_ki, times e_ki, is the slope both in z_k . h_i / tau and in log c_ik:
    e_ki (sum_j x_j / sum_j p_j - x_i / p_i). The matrices e exist for one chunk of rows at a time.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor, items: Tensor, shares: Tensor, target: Ragged) -> Tensor:
        rows, concepts = codes.shape[:2]
        loss, totals = codes.new_zeros(()), target.row_sums(target.values)
        grads = [torch.zeros_like(given) for given in (codes, items, shares)]
        for chunk in row_chunks(len(target), len(items) * concepts, CHUNK_CELLS):
            sharp = codes[chunk] / TEMPERATURE
            parts = [
                affine(sharp[:, k], items, shares[:, k].contiguous()).exp_()
                for k in range(concepts)
            ]  # e, (chunk, n_items) each
            p = parts[0].clone()
            for part in parts[1:]:
                p += part
            entries = slice(int(target.offsets[chunk.start]), int(target.offsets[chunk.stop]))
            cells = (target.rows[entries] - chunk.start, target.indices[entries])
            values, found, norms = target.values[entries], p[cells], p.sum(1)
            loss += (torch.dot(totals[chunk], norms.log()) - torch.dot(values, found.log())) / rows
            for k, part in enumerate(parts):
                own = part[cells] * values / found
                part *= (totals[chunk] / norms)[:, None]
                part[cells] -= own
                part /= rows
                grads[0][chunk, k] = part @ items / TEMPERATURE
                grads[1].addmm_(part.t(), sharp[:, k])
                grads[2][:, k] += part.sum(0)
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * upstream for grad in ctx.saved_tensors), None)
