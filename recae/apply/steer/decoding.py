"""Scores decoded from shifted latent codes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.models.factors._base import FactorRecommender
from recae.models.neural._base import NeuralRecommender
from recae.ranking.batches import dense
from recae.recommend.base import Recommender

SAMPLE = 64
"""Users over whom the effect of a shift on the scores is averaged."""


def check_steerable(model: Any) -> None:
    """Raises ConfigError unless the model is a recommender whose codes can be shifted."""
    if isinstance(model, FactorRecommender):
        return
    if isinstance(model, NeuralRecommender):
        with suppress(ConfigError):
            model._code_width()
            return
    why = "has no latent codes" if isinstance(model, Recommender) else "is not a recommender"
    raise ConfigError(
        f"{type(model).__name__} {why}: take an autoencoder with a code, such as MultVAE, MultDAE, "
        "RecVAE or ELSA, or factors, such as ALS, PureSVD, SVDAE or BPR",
        parameter="model",
        value=model,
    )


def shifted_scores(model: Recommender, matrix: Any, move: np.ndarray) -> Tensor:
    """Scores of CSR histories from z' = z + move: (rows, n_items) float32; move: (latent,)."""
    step = torch.from_numpy(np.asarray(move, dtype=np.float32))
    if isinstance(model, FactorRecommender):  # linear in the code
        return dense(model._score_rows(matrix)) + step[None] @ model._item_vectors().T
    assert isinstance(model, NeuralRecommender)
    net = model.network_
    step = step.to(next(net.parameters()).device)

    def read(batch: Any) -> Tensor:
        scores: Tensor = net.decoder(net.encode(batch)[0] + step, batch).dense()
        return scores

    return model._read_rows(read, matrix)


def rises(
    model: Recommender,
    matrix: Any,
    moves: np.ndarray,
    after_each: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """How much each move raises each item's score, (moves, n_items) float32.

    The mean over up to SAMPLE users, spread evenly over the histories; exact for decoders that are
    linear in the code, where the effect is the same for all users.
    """
    if isinstance(model, FactorRecommender):
        return (torch.from_numpy(moves) @ model._item_vectors().T).numpy()
    places = np.unique(np.linspace(0, matrix.shape[0] - 1, SAMPLE).astype(np.int64))
    some = matrix[places]
    unshifted = shifted_scores(model, some, np.zeros_like(moves[0]))
    found = np.empty((len(moves), matrix.shape[1]), dtype=np.float32)
    for number, move in enumerate(moves):
        found[number] = (shifted_scores(model, some, move) - unshifted).mean(0).cpu().numpy()
        after_each()
    return found
