"""Quantised codes, and the estimate of their entropy in bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Coded

FLOOR = 1e-9
"""The lower bound of a step's probability, so that its bits and gradients stay finite."""


class LogisticMixture(nn.Module):
    """p(k) of whole numbers for every unit: a mixture of logistics over [k - 1/2, k + 1/2].

    p_j(k) = sum_c w_jc (s((k + 1/2 - m_jc) / b_jc) - s((k - 1/2 - m_jc) / b_jc)), s the logistic
    function; the units are independent ("fully factorised", Balle, Laparra & Simoncelli 2017).
    """

    def __init__(self, latent: int, components: int = 3) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.empty(latent, components))
        self.log_scales = nn.Parameter(torch.empty(latent, components))
        self.logits = nn.Parameter(torch.empty(latent, components))

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the mixtures for numbers that spread by 1; nothing is drawn."""
        self.spread(torch.ones(len(self.means)))

    @torch.no_grad()
    def spread(self, deviations: Tensor) -> None:
        """Sets the mixtures for numbers around 0 with these standard deviations, (latent,)."""
        components = self.means.shape[1]
        shares = torch.linspace(0.3, 1.0, components, device=deviations.device)
        places = torch.linspace(-0.5, 0.5, components, device=deviations.device)
        self.means.copy_(deviations[:, None] * places)
        self.log_scales.copy_((deviations[:, None] * shares).clamp_min(0.15).log())
        self.logits.zero_()

    def probabilities(self, k: Tensor, width: float = 1.0) -> Tensor:
        """p_j of [k - width / 2, k + width / 2] for numbers (..., latent), whole or not."""
        # Both logistics on the side where they are small: near 1 float32 has no digits left.
        away = -(k.unsqueeze(-1) - self.means).abs()
        scales = self.log_scales.exp()
        mass = torch.sigmoid((away + width / 2) / scales) - torch.sigmoid(
            (away - width / 2) / scales
        )
        return (mass * self.logits.softmax(-1)).sum(-1)

    def bits(self, k: Tensor) -> Tensor:
        """-sum_j log2 p_j(k_j) of each row, (rows,); k: (rows, latent)."""
        return -(self.probabilities(k) + FLOOR).log2().sum(-1)


class Quantised(nn.Module):
    """z = step * round(hidden / step), with the term `bits`: the estimated bits of a row's code.

    Rounding has no gradient. In training, uniform noise of one step's width replaces rounding.
    `bits` is -sum_j log2 p_j((hidden_j + noise_j) / step) of each row under the learnt `prior`. Its
    expectation is the differential entropy that approximates the bits of rounded codes (Balle,
    Laparra & Simoncelli 2017; Theis et al. 2017). With `rounds` set, training rounds too and has no
    term: the decoder adapts to the rounded codes, and the encoder gets no gradient. In evaluation
    codes are rounded, ties to the even number, and there is no term.

    spent: the mean bits of the last training batch, for the controller of their weight.
    """

    def __init__(self, latent: int, components: int = 3) -> None:
        super().__init__()
        self.prior = LogisticMixture(latent, components)
        self.step: Tensor
        self.register_buffer("step", torch.ones(()))
        self.rounds = False
        self.spent: Tensor | None = None

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        if self.rounds or not self.training:
            return self.step * self.numbers(hidden), {}
        noise = torch.rand(
            hidden.shape, generator=generator, device=hidden.device, dtype=hidden.dtype
        )
        noisy = hidden / self.step + noise - 0.5
        bits = self.prior.bits(noisy)  # (rows,)
        self.spent = bits.detach().mean()
        return self.step * noisy, {"bits": bits}

    def numbers(self, hidden: Tensor) -> Tensor:
        """The whole numbers of steps nearest to hidden, (rows, latent), as floats."""
        return (hidden / self.step).round()
