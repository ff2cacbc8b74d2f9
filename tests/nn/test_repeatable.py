"""Gradients repeat their bits, also where many entries meet and threads share the work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.nn import Batch, Concepts, Ragged, TiedDecoder, UnitRows, ZeroDiagonal
from recae.nn import heads as losses

ROWS, ITEMS, WIDTH = 300, 1500, 64


def ragged() -> Ragged:
    matrix = sp.random(ROWS, ITEMS, 0.15, format="csr", random_state=1, dtype=np.float32)
    return Ragged.from_csr(matrix)


def observed(generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    parts = [
        torch.randn(size, generator=generator).requires_grad_()
        for size in ((ROWS, WIDTH), (ITEMS, WIDTH), (ITEMS,))
    ]
    return losses.observed_logistic_loss(*parts, ragged()), parts


def tied(generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    encoder, x = UnitRows(ITEMS, WIDTH), ragged()
    encoder.initialise(generator)
    scores = TiedDecoder(encoder)(encoder(x), Batch(x, x))
    return scores.loss("cosine", x), list(encoder.parameters())


def concepts(generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    encoder = Concepts(ITEMS, 3, WIDTH, 8)
    for part in encoder.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    return encoder(ragged()).square().sum(), list(encoder.parameters())


def shallow(generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    layer = ZeroDiagonal(ITEMS)
    layer.initialise(generator)
    return layer(ragged()).dense().square().sum(), list(layer.parameters())


@pytest.mark.parametrize("make", [observed, tied, concepts, shallow])
def test_gradients_repeat_their_bits(
    make: Callable[[torch.Generator], tuple[Tensor, list[Tensor]]],
) -> None:
    first: list[Tensor] = []
    for _ in range(6):
        loss, parts = make(torch.Generator().manual_seed(0))
        found = list(torch.autograd.grad(loss, parts))
        first = first or found
        assert all(torch.equal(a, b) for a, b in zip(first, found, strict=True))
