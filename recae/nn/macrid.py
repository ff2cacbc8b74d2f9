"""Disentangled codes: one latent code for each concept that items belong to (MacridVAE)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import check_option
from recae.nn.batch import Batch, Coded, Ragged
from recae.nn.heads import CHUNK_CELLS
from recae.nn.layers import InputLinear, Linear
from recae.nn.products import affine, cells_of, gather, multiply, row_chunks
from recae.nn.sharded import Shard
from recae.nn.tied import UnitRows
from recae.nn.variational import normal_like

TEMPERATURE = 0.1
"""tau: cosines are divided by it (Ma et al. 2019)."""


@dataclass(frozen=True)
class MixtureScores:
    """log sum_k exp(z_k . h_i / tau + log c_ik), unevaluated.

    codes: (rows, n_concepts, latent) and items: (n_items, latent), of length one; shares:
    (n_items, n_concepts), logs. shard: the items that there are, if not all; codes are then of the
    rows of this process, and the loss is its share of the mean over all rows, those of the target.
    """

    codes: Tensor
    items: Tensor
    shares: Tensor
    shard: Shard | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """Minus the multinomial log likelihood, averaged over rows."""
        check_option("reconstruction loss", kind, ["multinomial"])
        if not isinstance(target, Ragged):
            raise TypeError("the multinomial loss takes a ragged target")
        codes = self.codes
        if self.shard is not None:
            codes = self.shard.joined(codes, len(target))
        loss: Tensor = _Likelihood.apply(  # type: ignore[no-untyped-call]
            codes, self.items, self.shares, target, self.shard
        )
        return loss

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        if torch.is_grad_enabled() and self.codes.requires_grad:
            parts = [
                affine(codes / TEMPERATURE, self.items, share.contiguous())
                for codes, share in zip(self.codes.unbind(1), self.shares.unbind(1), strict=True)
            ]
            return reduce(torch.logaddexp, parts)
        out = self.codes.new_empty(self.shape)
        self.write(out, slice(0, len(self.codes)), slice(0, len(self.items)))
        return out

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        logits = (self.codes * self.items[columns, None]).sum(2) / TEMPERATURE
        return (logits + self.shares[columns]).logsumexp(1)

    def to_rank(self) -> MixtureScores:
        """The scores block by block, without gradients."""
        return MixtureScores(self.codes.detach(), self.items.detach(), self.shares.detach())

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n_items)."""
        return len(self.codes), len(self.items)

    @property
    def device(self) -> torch.device:
        """Where they are computed."""
        return self.codes.device

    def write(self, out: Tensor, rows: slice, columns: slice) -> None:
        """Writes the scores of some rows and columns into `out`, without gradients.

        Cosines are at most one, so that no summand is above exp(1 / tau), which float32 can hold.
        """
        with torch.no_grad():
            items, shares = self.items[columns], self.shares[columns].t().contiguous()
            part = out if len(shares) == 1 else torch.empty_like(out)
            for concept, share in enumerate(shares):
                codes = self.codes[rows, concept] / TEMPERATURE
                target = part if concept else out
                multiply(codes, items, share, target).exp_()
                if concept:
                    out += part
            out.log_()


class _Likelihood(torch.autograd.Function):
    """-sum_i x_i log(p_i / sum_j p_j) with p_i = sum_k e_ki and e_ki = c_ik exp(z_k . h_i / tau).

    Cosines are at most one, so that no e is above exp(1 / tau), a number that float32 can hold. The
    slope in e_ki, times e_ki, is the slope both in z_k . h_i / tau and in log c_ik:
    e_ki (sum_j x_j / sum_j p_j - x_i / p_i). The matrices e exist for one chunk of rows at a time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        codes: Tensor,
        items: Tensor,
        shares: Tensor,
        target: Ragged,
        shard: Shard | None,
    ) -> Tensor:
        """The loss of the mixture of concepts and its gradients, a chunk of rows at a time."""
        (rows, concepts), width = codes.shape[:2], len(items)
        loss, totals = codes.new_zeros(()), target.row_sums(target.values)
        if shard is not None:
            target, width = shard.own(target), shard.widest
        grads = [torch.zeros_like(given) for given in (codes, items, shares)]
        for chunk in row_chunks(
            len(target), width * concepts, cells_of(target.values.device, CHUNK_CELLS)
        ):
            sharp = codes[chunk] / TEMPERATURE
            parts = [
                affine(sharp[:, k], items, shares[:, k].contiguous()).exp_()
                for k in range(concepts)
            ]  # e, (chunk, n_items) each
            p = parts[0].clone()
            for part in parts[1:]:
                p += part
            entries = target.entries(chunk)
            cells = (target.rows[entries] - chunk.start, target.indices[entries])
            values, found, norms = target.values[entries], p[cells], p.sum(1)
            if shard is not None:
                norms = shard.ranks.summed(norms)
            mine = shard is None or shard.ranks.rank == 0  # all know the norms, and one counts them
            of_norms = torch.dot(totals[chunk], norms.log()) if mine else 0.0
            loss += (of_norms - torch.dot(values, found.log())) / rows
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
        return (*(grad * upstream for grad in ctx.saved_tensors), None, None)


TINY = 1e-6
"""Uniform numbers are held this far from 0 and 1, where Gumbel noise would be infinite."""


class Concepts(nn.Module):
    """x -> the hidden layers of all concepts, side by side: (rows, n_concepts x width).

    Items h_i and prototypes m_k are compared by cosine: c_ik = softmax_k(cos(h_i, m_k) / tau). One
    layer with tanh reads the history once for each concept, an item i counting c_ik of itself.
    """

    def __init__(self, n_items: int, n_concepts: int, width: int, latent: int) -> None:
        super().__init__()
        self.items = UnitRows(n_items, latent)
        self.prototypes = nn.Parameter(torch.empty(n_concepts, latent))
        self.read = InputLinear(n_items, width)
        self.drawn: Tensor | None = None  # Gumbel noise of this step, (n_items, n_concepts)

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the prototypes in place (Glorot & Bengio 2010)."""
        nn.init.xavier_normal_(self.prototypes, generator=generator)

    def directions(self) -> Tensor:
        """The items at length one, (n_items, latent)."""
        return self.items.rows()

    def shares(self) -> Tensor:
        """log c_ik, (n_items, n_concepts), as drawn for this step or else expected."""
        cosines = self.directions() @ F.normalize(self.prototypes, dim=1).t()
        logits = cosines / TEMPERATURE
        return (logits if self.drawn is None else logits + self.drawn).log_softmax(1)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        """The history read once for each concept, its items weighted by their share in it, (rows,
        concepts x width)."""
        parts, shard = [], self.items.shard
        if shard is not None and isinstance(x, Ragged):
            x = shard.own(x)
        for share in self.shares().exp().unbind(1):  # (n_items,)
            if isinstance(x, Tensor):
                own: Ragged | Tensor = x * share
            else:
                own = x.with_values(x.values * gather(share, x.indices))
            if shard is not None and isinstance(own, Ragged):
                read = shard.split(self.read.rows_of(own)) + self.read.bias
            else:
                read = self.read(own)
            parts.append(read.tanh())
        return torch.cat(parts, 1)


class DrawConcepts(nn.Module):
    """Draws the concept of each item for a training step; the batch is not changed.

    The draw is relaxed, so that gradients reach the prototypes: Gumbel noise is added to the logits
    of c_ik (Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017). It is a piece of the `corrupt` slot
    because encoder and decoder must see the same draw, and because a phase can go without it.
    """

    def __init__(self, concepts: Concepts) -> None:
        super().__init__()
        self.concepts = [concepts]  # in a list: its weights are the encoder's and are saved once

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """Draws Gumbel noise for the items' concepts in training, the same for all rows of a batch;
        the history stays as it is."""
        concepts, drawn = self.concepts[0], None
        if self.training:
            like = concepts.items.weight
            shard = concepts.items.shard
            size = len(like) if shard is None else shard.n_items, len(concepts.prototypes)
            drawn = torch.rand(size, generator=generator, device=like.device, dtype=like.dtype)
            drawn = -(-drawn.clamp(TINY, 1 - TINY).log()).log()
            if shard is not None:
                drawn = shard.of(drawn)
        concepts.drawn = drawn
        return batch


class ConceptGaussians(nn.Module):
    """A Gaussian posterior for every concept, around a direction of length one.

    mu_k = a_k / |a_k|, sigma_k = s exp(b_k / 2), with one layer for all concepts. The prior of each
    is N(0, s^2). The term `kl` is their divergence, summed over concepts and dimensions. The code
    of a row is (n_concepts x latent) numbers.
    """

    def __init__(self, n_concepts: int, width: int, latent: int, spread: float) -> None:
        super().__init__()
        self.n_concepts, self.spread = n_concepts, spread
        self.mu, self.log_variance = Linear(width, latent), Linear(width, latent)

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """A code of unit norm for each concept, noisy in training, and the KL added up over the
        concepts."""
        rows = len(hidden)
        each = hidden.reshape(rows * self.n_concepts, hidden.shape[1] // self.n_concepts)
        mu = F.normalize(self.mu(each), dim=1)
        if not self.training:
            return mu.reshape(rows, self.n_concepts * mu.shape[1]), {}
        b = self.log_variance(each)  # (rows x n_concepts, latent)
        z = mu + self.spread * normal_like(mu, generator, batch, self.n_concepts) * (0.5 * b).exp()
        kl = 0.5 * (b.exp() + mu.square() / self.spread**2 - 1 - b).sum(1)
        width = self.n_concepts * mu.shape[1]  # not -1, because there may be no rows
        return z.reshape(rows, width), {"kl": kl.reshape(rows, self.n_concepts).sum(1)}

    def mean_and_deviation(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the posterior, (rows, n_concepts x latent)."""
        rows = len(hidden)
        each = hidden.reshape(rows * self.n_concepts, -1)
        deviation = self.spread * (0.5 * self.log_variance(each)).exp()
        return F.normalize(self.mu(each), dim=1).reshape(rows, -1), deviation.reshape(rows, -1)


class ConceptDecoder(nn.Module):
    """Codes -> log sum_k c_ik exp(cos(z_k, h_i) / tau), with h and c of the encoder."""

    def __init__(self, encoder: Concepts) -> None:
        super().__init__()
        self.shared = [encoder]  # in a list: its weights are the encoder's and are saved once

    def forward(self, z: Tensor, batch: Batch) -> MixtureScores:
        encoder = self.shared[0]
        codes = z.reshape(len(z), *encoder.prototypes.shape)
        directions, shares = encoder.directions(), encoder.shares()
        return MixtureScores(F.normalize(codes, dim=2), directions, shares, encoder.items.shard)
