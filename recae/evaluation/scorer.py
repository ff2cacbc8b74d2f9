"""Any function that scores histories, to be measured like a model of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data import IdMap, Interactions, as_interactions
from recae.errors import ConfigError, DataError


class Scorer:
    """A function that scores histories; `evaluate` masks and ranks what it says, and measures it.

    score: called with a scipy csr_matrix (rows, n_items) float32 of histories whose columns are
    `items`; returns a numpy array or torch tensor (rows, n_items) of numbers, higher is better, or
    -inf for an item that is never to come. What it returns is rounded to float32; equal scores go
    by the order of `items`. It is called batch by batch and sees no user ids: a system that needs
    them is measured by its `Lists`. items: the ids of the columns, (n_items,) integers or text.
    train: what the system was fitted on, for novelty, popularity and the items' training users.
    name: what reports call it.

    Raises ConfigError if `score` cannot be called, DataError for bad ids; `evaluate` raises
    DataError for scores of another shape, or NaN.

    >>> from recae.evaluation import Scorer
    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> together = (split.train.matrix.T @ split.train.matrix).toarray()
    >>> theirs = Scorer(lambda histories: histories @ together, items=split.train.items)
    >>> recae.evaluate(theirs, split.validation, ["recall@4"])["recall@4"]
    1.0
    """

    def __init__(
        self,
        score: Callable[[Any], Any],
        items: Any,
        *,
        train: Interactions | Any | None = None,
        name: str = "their model",
    ) -> None:
        if not callable(score):
            raise ConfigError(f"score must be a function of histories, not {type(score).__name__}")
        self.score, self.name = score, name
        self.items = items if isinstance(items, IdMap) else IdMap(items, "item")
        self.train = None if train is None else as_interactions(train)

    def __repr__(self) -> str:
        return f"Scorer({self.name!r})"

    def get_params(self) -> dict[str, Any]:
        """Nothing is known of its settings; the name may say them.

        >>> recae.evaluation.Scorer(lambda histories: histories.toarray(), ["a", "b"]).get_params()
        {}
        """
        return {}

    def _score_rows(self, matrix: Any) -> Tensor:
        """The scores of a batch as a fresh tensor (rows, n_items) float32."""
        given = self.score(matrix)
        try:
            if isinstance(given, Tensor):
                scores = given.detach().to(dtype=torch.float32, copy=True)
            else:
                scores = torch.from_numpy(_float32(given))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.name!r} must return an array or tensor of numbers, not "
                f"{type(given).__name__} ({' '.join(str(error).split())})"
            ) from None
        if tuple(scores.shape) != matrix.shape:
            raise DataError(
                f"{self.name!r} must return scores of shape {matrix.shape}, a row for each history "
                f"and a column for each of its items; it returned {tuple(scores.shape)}"
            )
        bad = torch.isnan(scores) | torch.isposinf(scores)
        if bool(bad.any()):
            row, column = (int(place) for place in bad.nonzero()[0])
            raise DataError(
                f"{self.name!r} returned {float(scores[row, column])} in row {row} of a batch, "
                f"item {self.items.ids[column]!r} ({int(bad.sum()):,} of {bad.numel():,} scores); "
                "every score must be finite, or -inf for an item that is never to come"
            )
        return scores


def _float32(given: Any) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"of {array.dtype}")
    with np.errstate(over="ignore"):  # what does not fit becomes inf, which is refused
        return np.array(array, dtype=np.float32, order="C")
