"""The top-k sparse autoencoder whose decoder is the dictionary of item vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn import (
    DENSE_LOSSES,
    AutoencoderNet,
    Batch,
    DenseScores,
    InputLinear,
    NoCorruption,
    SignedTopUnits,
    revive,
    transposed_start,
)
from recae.rng import Stream, torch_generator
from recae.training import ArrayLoader, Objective, Plan, resolve_device, train

WIDE, WIDE_WEIGHT = 4, 1 / 8
"""Active units of the second loss, as a multiple, and its weight."""

BATCHES = 64
"""Batches per epoch, if they have SMALLEST to LARGEST items."""

SMALLEST, LARGEST = 64, 512


class Dictionary(nn.Module):
    """z -> z D with unit-norm rows of D (units, width)."""

    def __init__(self, units: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, width))

    def rows(self) -> Tensor:
        """D, (units, width)."""
        return F.normalize(self.weight, dim=1)

    def forward(self, z: Tensor, batch: Batch) -> DenseScores:
        return DenseScores(z @ self.rows())


class TwoWidths(AutoencoderNet):
    """A sparse autoencoder trained with two codes: of k active units, and of 4 k.

    The term `wide` is the loss of the second, which trains more units, so that fewer die. atoms:
    (units, width), the initial decoder; the encoder starts as its transpose.
    """

    encoder: InputLinear
    code: SignedTopUnits
    decoder: Dictionary

    def __init__(self, atoms: Tensor, active: int) -> None:
        units, width = atoms.shape
        super().__init__(
            corrupt=NoCorruption(),
            encoder=InputLinear(width, units),
            code=SignedTopUnits(units, active),
            decoder=Dictionary(units, width),
        )
        self.wide = SignedTopUnits(units, min(WIDE * active, units))
        self.atoms = [atoms]  # in a list: no part of the network

    def initialise(self, generator: torch.Generator) -> None:
        """Sets decoder and encoder to the atoms."""
        super().initialise(generator)
        with torch.no_grad():
            self.decoder.weight.copy_(self.atoms[0])
        transposed_start(self.encoder.weight, self.decoder.weight.t())  # type: ignore[arg-type]

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[DenseScores, dict[str, Tensor]]:
        hidden = self.encoder(batch.input)
        z, _ = self.code(hidden, batch, generator)
        wide, _ = self.wide(hidden, batch, generator)
        loss = DENSE_LOSSES["cosine"](wide @ self.decoder.rows(), batch.target)  # type: ignore[arg-type]
        return self.decoder(z, batch), {"wide": loss}


def learn_dictionary(
    rows: Tensor,
    units: int,
    active: int,
    *,
    epochs: int,
    lr: float,
    seed: int,
    progress: bool | None,
) -> TwoWidths:
    """Trains the autoencoder on unit-norm rows (n, width), some of which are its first atoms.

    loss = cosine loss of the code of `active` units + an eighth of that of four times as many
    (CompresSAE, Kasalický et al. 2025). Raises TrainingError if the loss becomes NaN.
    """
    order = torch.randperm(len(rows), generator=torch_generator(seed, Stream.DICTIONARY_ORDER))
    net = TwoWidths(rows[order[torch.arange(units) % len(rows)]], active)
    plan = Plan(
        epochs=epochs,
        lr=lr,
        l2=0.0,
        metric="loss",
        patience=1,
        before_epoch=_reviver(rows, seed, int(0.9 * epochs)),
    )
    train(
        net,
        ArrayLoader(rows, None, min(max(len(rows) // BATCHES, SMALLEST), LARGEST), seed),
        Objective("cosine", {"wide": WIDE_WEIGHT}),
        plan,
        seed=seed,
        device=resolve_device("cpu"),
        progress=progress,
        name="dictionary",
    )
    return net.eval()


def _reviver(rows: Tensor, seed: int, last: int) -> Callable[[Any, int], list[nn.Parameter]]:
    """Before each epoch up to `last`, moves unused units towards the largest residuals."""

    def rewrite(net: TwoWidths, number: int) -> list[nn.Parameter]:
        if number == 1 or number > last:
            return []
        generator = torch_generator(seed, Stream.DICTIONARY_REVIVED, number)
        some = rows[torch.randperm(len(rows), generator=generator)[:2048]]
        with torch.no_grad():
            residuals = some - net(Batch(some, some))[0].dense()
            weight, bias, atoms = net.encoder.weight, net.encoder.bias, net.decoder.weight
            revived = revive(net.code, weight, bias, atoms.t(), some, residuals, generator)
        return [weight, bias, atoms] if len(revived) else []

    return rewrite
