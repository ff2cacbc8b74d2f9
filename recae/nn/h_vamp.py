"""Two levels of latent variables with a VampPrior, a prior of learnt pseudo-inputs (H+Vamp)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Coded, Ragged
from recae.nn.heads import Scores
from recae.nn.layers import InputLinear, Linear
from recae.nn.network import Dropout
from recae.nn.variational import draw


class Gated(nn.Module):
    """x -> (x W + a) sigma(x V + b), from a sparse or a dense input.

    As in the code of Kim & Suh (2019), which leaves out the activation that the paper draws where a
    layer is gated (Dauphin et al. 2017 do the same).
    """

    def __init__(self, n_in: int, n_out: int, *, sparse: bool = False) -> None:
        super().__init__()
        kind = InputLinear if sparse else Linear
        self.value, self.gate = kind(n_in, n_out, "he"), kind(n_in, n_out, "he")

    def forward(self, x: Ragged | Tensor) -> Tensor:
        values: Tensor = self.value(x)
        gate: Tensor = self.gate(x)
        return values * gate.sigmoid()


def gated_mlp(widths: list[int], *, sparse: bool = False) -> nn.Sequential:
    """widths[0] -> ... -> widths[-1], all gated; sparse: whether the first reads sparse rows."""
    pairs = zip(widths, widths[1:], strict=False)
    return nn.Sequential(
        *(Gated(a, b, sparse=sparse and not index) for index, (a, b) in enumerate(pairs))
    )


LOW, HIGH = -12.0, 4.0
"""Bounds of log variances (the authors' code)."""


class HierarchicalEncoder(nn.Module):
    """x -> the hidden layers of both levels, the upper one first: (rows, 2 width)."""

    def __init__(self, n_items: int, width: int, depth: int) -> None:
        super().__init__()
        self.upper = gated_mlp([n_items, *[width] * depth], sparse=True)
        self.lower = Gated(n_items, width, sparse=True)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        return torch.cat([self.upper(x), self.lower(x)], 1)


class Normal(nn.Module):
    """hidden -> mean and bounded log variance of a diagonal Gaussian, (rows, latent) each."""

    def __init__(self, n_hidden: int, latent: int) -> None:
        super().__init__()
        self.mu = Linear(n_hidden, latent, "he")
        self.log_variance = Linear(n_hidden, latent, "he")

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu(hidden), self.log_variance(hidden).clamp(LOW, HIGH)


class PseudoInputs(nn.Module):
    """The priors, which only training needs: of the upper level, and of the lower given the upper.

    p(z2) = mean over c of q(z2 | u_c), with u_c learned inputs between 0 and 1 (Tomczak & Welling
    2018); p(z1 | z2) is a Gaussian.
    """

    def __init__(self, n_items: int, components: int, width: int, latent: int, depth: int) -> None:
        super().__init__()
        self.inputs = nn.Parameter(torch.empty(components, n_items))
        self.layers = gated_mlp([latent, *[width] * depth])
        self.lower = Normal(width, latent)

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the pseudo-inputs in place (the authors' code)."""
        nn.init.normal_(self.inputs, 0.05, 0.01, generator=generator)


class HierarchicalVamp(nn.Module):
    """z2 ~ q(z2 | x), z1 ~ q(z1 | x, z2) under p(z2) p(z1 | z2); the code is (z1, z2).

    The term `kl` is log q(z2 | x) + log q(z1 | x, z2) - log p(z2) - log p(z1 | z2) of the one pair
    drawn. Its expectation is the divergence (Kim & Suh 2019). In evaluation both are their means.
    `products` may be set to a narrower type for the layers that read the pseudo-inputs. The
    densities of the prior stay float32: their squares cancel.
    """

    products: torch.dtype | None = None

    def __init__(
        self,
        encoder: HierarchicalEncoder,
        n_items: int,
        *,
        width: int,
        latent: int,
        depth: int,
        components: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.shared = [encoder]  # in a list: its weights belong to the encoder's slot
        self.width, self.dropout = width, Dropout(dropout)
        self.upper, self.lower = Normal(width, latent), Normal(width, latent)
        self.from_upper = Gated(latent, width)
        self.joint = gated_mlp([2 * width, *[width] * (depth - 1)])
        self.prior = PseudoInputs(n_items, components, width, latent, depth)

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """The two levels joined, (rows, 2 latent), and in training the KL by one draw, for which
        the Vamp prior has no closed form."""
        upper: tuple[Tensor, Tensor] = self.upper(hidden[:, : self.width])
        z2 = self._draw(*upper, generator, batch)  # (rows, latent)
        joined = torch.cat([hidden[:, self.width :], self.from_upper(z2)], 1)
        lower: tuple[Tensor, Tensor] = self.lower(self.joint(joined))
        z1 = self._draw(*lower, generator, batch)
        z = torch.cat([z1, z2], 1)
        if not self.training:
            return z, {}
        given_upper = self.prior.lower(self.prior.layers(z2))
        kl = (
            log_normals(z2, *upper)
            + log_normals(z1, *lower)
            - log_normals(z1, *given_upper)
            - self.log_prior(z2, generator)
        )
        return z, {"kl": kl}

    def mean_and_deviation(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the posterior, (rows, 2 x latent) each; the lower
        level is given the mean of the upper one."""
        z2, upper = self.upper(hidden[:, : self.width])
        joined = torch.cat([hidden[:, self.width :], self.from_upper(z2)], 1)
        z1, lower = self.lower(self.joint(joined))
        return torch.cat([z1, z2], 1), (0.5 * torch.cat([lower, upper], 1)).exp()

    def _draw(
        self, mu: Tensor, log_variance: Tensor, generator: torch.Generator | None, batch: Batch
    ) -> Tensor:
        return draw(mu, log_variance, generator, batch) if self.training else mu

    def log_prior(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """log p(z2) of each row, (rows,)."""
        inputs = self.prior.inputs.clamp(0, 1)  # (components, n_items)
        narrow = self.products if torch.is_grad_enabled() and z.dtype == torch.float32 else None
        if narrow is not None:
            inputs = inputs.to(narrow)
        seen = self.dropout(Batch(inputs, inputs), generator).input
        mu, log_variance = self.upper(self.shared[0].upper(seen).to(z.dtype))
        precision = (-log_variance).exp()  # (components, latent)
        squares = z.square() @ precision.t() - 2 * z @ (mu * precision).t()  # (rows, components)
        constant = (mu.square() * precision + log_variance + math.log(2 * math.pi)).sum(1)
        log_density: Tensor = (-0.5 * (squares + constant)).logsumexp(1)
        return log_density - math.log(len(mu))


class HierarchicalDecoder(nn.Module):
    """(z1, z2) -> scores, through a gated layer for each level and gated layers for both."""

    def __init__(self, latent: int, width: int, depth: int, head: nn.Module) -> None:
        super().__init__()
        self.latent = latent
        self.lower, self.upper = Gated(latent, width), Gated(latent, width)
        self.joint = gated_mlp([2 * width, *[width] * (depth - 1)])
        self.head = head

    def forward(self, z: Tensor, batch: Batch) -> Scores:
        both = [self.lower(z[:, : self.latent]), self.upper(z[:, self.latent :])]
        scores: Scores = self.head(self.joint(torch.cat(both, 1)))
        return scores


def log_normals(z: Tensor, mu: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; mu, exp(log_variance)) of each row, (rows,)."""
    scaled = (z - mu).square() / log_variance.exp()
    return -0.5 * (math.log(2 * math.pi) + log_variance + scaled).sum(1)
