"""The one network class: four slots, corrupt -> encoder -> code -> decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch
from recae.nn.heads import Scores


class Decoder(nn.Module):
    """Layers, then a head: codes become lazy scores."""

    def __init__(self, layers: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def forward(self, z: Tensor, batch: Batch) -> Scores:
        scores: Scores = self.head(self.layers(z))
        return scores


class AutoencoderNet(nn.Module):
    """An autoencoder made of four pieces; it knows nothing of users and items.

    corrupt(batch, generator) -> batch; encoder(input) -> hidden;
    code(hidden, batch, generator) -> (z, {term: (rows,)}); decoder(z, batch) -> Scores. The batch
    that code and decoder see is the one given, not the corrupted one. What only training needs
    belongs to a module named `prior` of the code: it is not saved with a model.
    """

    def __init__(
        self, corrupt: nn.Module, encoder: nn.Module, code: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.corrupt, self.encoder, self.code, self.decoder = corrupt, encoder, code, decoder

    def initialise(self, generator: torch.Generator) -> None:
        """Draws all weights from `generator`, module by module in their order of definition."""
        for module in self.modules():
            initialise: Any = getattr(module, "initialise", None)
            if initialise is not None and module is not self:
                initialise(generator)

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Scores, dict[str, Tensor]]:
        """The scores of a batch and the code's penalty terms, each (rows,)."""
        z, terms = self.encode(batch, generator)
        return self.decoder(z, batch), terms

    def encode(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The codes of a batch, (rows, latent), and their penalty terms."""
        corrupted = self.corrupt(batch, generator)
        hidden = self.encoder(corrupted.input)
        z, terms = self.code(hidden, batch, generator)
        return z, terms
