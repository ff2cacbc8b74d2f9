"""Scores of codes that were moved: what a recommender would say of somebody a little other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.models.factors._base import FactorRecommender
from recae.ranking.products import products
from recae.recommend.autoencoder import AutoencoderRecommender
from recae.recommend.base import Recommender

SAMPLE = 64
"""Users over whom the response to a move is averaged: one tile of a decoder."""


def check_steerable(model: Any) -> None:
    """Raises ConfigError unless the codes of this recommender can be moved and scored."""
    if isinstance(model, FactorRecommender):
        return
    if isinstance(model, AutoencoderRecommender):
        with suppress(ConfigError):
            model._code_width()
            return
    why = "has no codes to move" if isinstance(model, Recommender) else "is no recommender"
    raise ConfigError(
        f"{type(model).__name__} {why}: take an autoencoder with a code, such as MultVAE, MultDAE, "
        "RecVAE or ELSA, or factors, such as ALS, PureSVD, SVDAE or BPR"
    )


def moved_scores(model: Recommender, matrix: Any, move: np.ndarray) -> Tensor:
    """Scores of CSR histories after z' = z + move: (rows, n_items) float32; move (latent,) float32.

    A move of zeros gives the scores of the model to the bit.
    """
    step = torch.from_numpy(np.asarray(move, dtype=np.float32))
    if isinstance(model, FactorRecommender):  # linear in the code
        return model._score_rows(matrix) + products(step[None], model._item_vectors())
    assert isinstance(model, AutoencoderRecommender)
    net = model.network_
    step = step.to(next(net.parameters()).device)

    def read(batch: Any) -> Tensor:
        scores: Tensor = net.decoder(net.encode(batch)[0] + step, batch).dense()
        return scores

    with torch.no_grad():
        return model._tiles(net, matrix, read, matrix.shape[1])


def rises(
    model: Recommender,
    matrix: Any,
    moves: np.ndarray,
    done: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """How much each move raises each item's score, (moves, n_items) float32.

    The mean over up to SAMPLE users spread evenly over the histories; exact for a decoder that is
    linear in the code, for which all users agree.
    """
    if isinstance(model, FactorRecommender):
        return products(torch.from_numpy(moves), model._item_vectors()).numpy()
    places = np.unique(np.linspace(0, matrix.shape[0] - 1, SAMPLE).astype(np.int64))
    some = matrix[places]
    still = moved_scores(model, some, np.zeros_like(moves[0]))
    found = np.empty((len(moves), matrix.shape[1]), dtype=np.float32)
    for number, move in enumerate(moves):
        found[number] = (moved_scores(model, some, move) - still).mean(0).cpu().numpy()
        done()
    return found
