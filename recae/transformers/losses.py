"""What a loss asks of examples, and how much there is to explain under it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recae.errors import DataError
from recae.nn import DENSE_LOSSES, Ragged
from recae.transformers.examples import Examples


def check_loss(examples: Examples, loss: str, owner: str) -> None:
    """Raises DataError for examples that cannot be held to the loss."""
    values = examples.rows.data if examples.sparse else examples.rows
    if loss not in ("logistic", "multinomial") or not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise DataError(
            f"Negative values in data passed to {owner}: loss={loss!r} takes none (the "
            f"lowest is {low:g}); scale X, or set loss='squared'"
        )
    if loss == "logistic" and high > 1:
        raise DataError(
            f"X of {owner} goes up to {high:g}; loss='logistic' takes 0 to 1: divide X "
            "by its largest value, or set loss='squared'"
        )


def check_learnable(examples: Examples, loss: str, owner: str) -> None:
    """Raises DataError for examples that hold nothing to learn from."""
    empty = examples.rows.nnz == 0 if examples.sparse else not bool(examples.rows.any())
    if empty and (examples.sparse or loss == "multinomial"):
        raise DataError(f"X of {owner} has no entry other than 0: there is nothing to learn")


def empty_loss(loss: str, target: Ragged | Tensor) -> Tensor:
    """The loss of each row if all outputs were 0, (rows,): what there is to explain."""
    if isinstance(target, Tensor):
        return DENSE_LOSSES[loss](torch.zeros_like(target), target)
    if loss == "squared":
        return target.row_sums(target.values.square())
    if loss == "logistic":
        return target.values.new_full((len(target),), target.n_columns * math.log(2))
    return target.row_sums(target.values) * math.log(target.n_columns)
