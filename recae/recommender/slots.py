"""What a model fills in; everything else it gets from `Recommender`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recae.data import IdMap, Interactions
from recae.errors import ConfigError
from recae.recommender.estimator import Estimator
from recae.recommender.tiles import Products, products
from recae.splits import Fold
from recae.training import Callback


@dataclass(frozen=True)
class Run:
    """The run options of one fit: they shape how it runs, not what the model is."""

    seed: int = 0
    device: torch.device = torch.device("cpu")
    callbacks: Sequence[Callback] = ()
    progress: bool | None = None
    checkpoint: str | Path | None = None


class Slots(Estimator, ABC):
    """What is particular to a model: its name, its hyperparameters, and these methods.

    The first four are needed; the others have a meaning for models with a latent space.
    """

    name: ClassVar[str]
    uses_validation: ClassVar[bool] = False
    items_: IdMap

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A subclass that scores in a way of its own must not be ranked by its base's factors.
        # Asked of all its bases: a class mixed in may bring `_score_rows` too.
        for base in cls.__mro__:
            if "_scores" in vars(base):
                return
            if "_score_rows" in vars(base):
                break
        if cls._scores is not Slots._scores:
            cls._scores = Slots._scores  # type: ignore[method-assign]

    @abstractmethod
    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        """Learns from `data`; hyperparameters and options are checked already."""

    @abstractmethod
    def _score_rows(self, matrix: Any) -> Tensor:
        """Scores of CSR histories in the model's item order: a fresh (rows, n_items) float32."""

    def _scores(self, matrix: Any) -> Tensor | Products:
        """The same, or what they are the products of: lists are then made without holding them."""
        return self._score_rows(matrix)

    @abstractmethod
    def _arrays(self) -> Mapping[str, Tensor]:
        """What was learnt, as named tensors for saving."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        """The inverse of `_arrays`; `items_` is set already."""

    def _embed_rows(self, matrix: Any) -> Tensor:
        """The codes of CSR histories, (rows, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no latent space to embed users in")

    def _item_vectors(self) -> Tensor:
        """One vector per item in the order of `items_`, (n_items, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no item embeddings")

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """How similar all items are to some, (len(codes), n_items); cosines by default."""
        vectors = torch.nn.functional.normalize(self._item_vectors().cpu(), dim=1)
        return products(vectors[torch.from_numpy(codes)], vectors)
