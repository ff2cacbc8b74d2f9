"""Several tastes in one user: a code for every concept that items belong to (MacridVAE)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch, Ragged
from recae.nn.layers import InputLinear, Linear
from recae.nn.mixture import TEMPERATURE, MixtureScores
from recae.nn.products import gather
from recae.nn.tied import UnitRows

TINY = 1e-6
"""Uniform numbers are held this far from 0 and 1, where Gumbel noise would be infinite."""


class Concepts(nn.Module):
    """x -> what each concept reads of it, side by side: (rows, n_concepts x width).

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
        parts = []
        for share in self.shares().exp().unbind(1):  # (n_items,)
            if isinstance(x, Tensor):
                own: Ragged | Tensor = x * share
            else:
                own = x.with_values(x.values * gather(share, x.indices))
            parts.append(self.read(own).tanh())
        return torch.cat(parts, 1)


class DrawConcepts(nn.Module):
    """Draws what concept each item belongs to in a step of training; leaves the batch as it is.

    The draw is relaxed, so that gradients reach the prototypes: Gumbel noise is added to the logits
    of c_ik (Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017). It is a piece of the `corrupt` slot
    because encoder and decoder must see the same draw, and because a phase can go without it.
    """

    def __init__(self, concepts: Concepts) -> None:
        super().__init__()
        self.concepts = [concepts]  # in a list: its weights are the encoder's and are saved once

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        concepts, drawn = self.concepts[0], None
        if self.training:
            like = concepts.items.weight
            size = len(like), len(concepts.prototypes)
            drawn = torch.rand(size, generator=generator, device=like.device, dtype=like.dtype)
            drawn = -(-drawn.clamp(TINY, 1 - TINY).log()).log()
        concepts.drawn = drawn
        return batch


class ConceptGaussians(nn.Module):
    """A Gaussian posterior for every concept, around a direction of length one.

    mu_k = a_k / |a_k|, sigma_k = s exp(b_k / 2), with one layer for all concepts; the prior of each
    is N(0, s^2), and the term `kl` their divergence, summed over concepts and dimensions. The code
    of a row is (n_concepts x latent) numbers.
    """

    def __init__(self, n_concepts: int, width: int, latent: int, spread: float) -> None:
        super().__init__()
        self.n_concepts, self.spread = n_concepts, spread
        self.mu, self.log_variance = Linear(width, latent), Linear(width, latent)

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rows = len(hidden)
        each = hidden.reshape(rows * self.n_concepts, -1)
        mu = F.normalize(self.mu(each), dim=1)
        if not self.training:
            return mu.reshape(rows, -1), {}
        b = self.log_variance(each)  # (rows x n_concepts, latent)
        noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        z = mu + self.spread * noise * (0.5 * b).exp()
        kl = 0.5 * (b.exp() + mu.square() / self.spread**2 - 1 - b).sum(1)
        return z.reshape(rows, -1), {"kl": kl.reshape(rows, -1).sum(1)}


class ConceptDecoder(nn.Module):
    """Codes -> log sum_k c_ik exp(cos(z_k, h_i) / tau), with h and c of the encoder."""

    def __init__(self, encoder: Concepts) -> None:
        super().__init__()
        self.shared = [encoder]  # in a list: its weights are the encoder's and are saved once

    def forward(self, z: Tensor, batch: Batch) -> MixtureScores:
        encoder = self.shared[0]
        codes = z.reshape(len(z), len(encoder.prototypes), -1)
        return MixtureScores(F.normalize(codes, dim=2), encoder.directions(), encoder.shares())
