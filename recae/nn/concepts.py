"""Several tastes in one user: a code for every concept that items belong to (MacridVAE)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import unknown_option
from recae.nn.batch import Batch, Ragged
from recae.nn.layers import InputLinear, Linear
from recae.nn.products import affine, gather

TEMPERATURE = 0.1
"""tau: cosines are divided by it (Ma et al. 2019)."""


class Concepts(nn.Module):
    """x -> what each concept reads of it, side by side: (rows, n_concepts x width).

    Items h_i and prototypes m_k are compared by cosine: c_ik = softmax_k(cos(h_i, m_k) / tau). One
    layer with tanh reads the history once for each concept, an item i counting c_ik of itself.
    """

    def __init__(self, n_items: int, n_concepts: int, width: int, latent: int) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.empty(n_items, latent))
        self.prototypes = nn.Parameter(torch.empty(n_concepts, latent))
        self.read = InputLinear(n_items, width)

    def initialise(self, generator: torch.Generator) -> None:
        """Draws items and prototypes in place (Glorot & Bengio 2010)."""
        nn.init.xavier_normal_(self.items, generator=generator)
        nn.init.xavier_normal_(self.prototypes, generator=generator)

    def directions(self) -> Tensor:
        """The items at length one, (n_items, latent)."""
        return F.normalize(self.items, dim=1)

    def shares(self) -> Tensor:
        """log c_ik, (n_items, n_concepts)."""
        cosines = self.directions() @ F.normalize(self.prototypes, dim=1).t()
        return (cosines / TEMPERATURE).log_softmax(1)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        parts = []
        for share in self.shares().exp().unbind(1):  # (n_items,)
            if isinstance(x, Tensor):
                own: Ragged | Tensor = x * share
            else:
                own = x.with_values(x.values * gather(share, x.indices))
            parts.append(self.read(own).tanh())
        return torch.cat(parts, 1)


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


@dataclass(frozen=True)
class MixtureScores:
    """log sum_k exp(z_k . h_i / tau + log c_ik), unevaluated.

    codes: (rows, n_concepts, latent); items: (n_items, latent); shares: (n_items, n_concepts) logs.
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
        scores = self.dense()
        totals = target.row_sums(target.values)
        found = scores[target.rows, target.indices] @ target.values
        return (scores.logsumexp(1) @ totals - found) / len(target)

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
