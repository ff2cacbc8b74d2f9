"""Drawing hyperparameters at random from the ranges that are worth a try."""

from __future__ import annotations

import math
import typing
from typing import Any

import numpy as np

from recae.estimators.estimator import Estimator

DIGITS = 3
"""Significant digits of a number that is drawn: what is printed of it is all of it."""


def draw(model: type[Estimator], generator: np.random.Generator) -> dict[str, Any]:
    """Random settings of a class of models, ready for its constructor and for JSON.

    Numbers come from the `usual` range that `param` declares: log-uniformly where it starts above 0
    and spans a factor of ten or more, else uniformly; integers are rounded. A tuple gets as many
    members as its default has, or one more. A choice is any of the `usual` ones, or of all where
    none is named; a truth value is either. What has no range is left out and keeps its default.
    Equal generators give equal settings. Whether values fit each other is for `fit` to say.

    >>> settings = draw(recae.PureSVD, np.random.default_rng(0))
    >>> list(settings), 16 <= settings["latent"] <= 512
    (['latent', 'weights'], True)
    """
    hints = typing.get_type_hints(model)
    found: dict[str, Any] = {}
    for name, declared in model.param_fields().items():
        hint, about = hints[name], declared.metadata
        if about["choices"] is not None:
            options = about["usual"] or about["choices"]
            found[name] = str(options[generator.integers(len(options))])
        elif hint is bool:
            found[name] = bool(generator.integers(2))
        elif about["usual"] is not None:
            found[name] = _value(hint, declared.default, about["usual"], generator)
    return found


def is_logarithmic(low: float, high: float) -> bool:
    """Whether a range is one of magnitudes, which a search covers by factors."""
    return low > 0 and high >= 10 * low


def _value(
    hint: Any, default: Any, usual: tuple[float, float], generator: np.random.Generator
) -> Any:
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        length = len(default) + generator.integers(2)
        return tuple(_number(kind, *usual, generator) for _ in range(length))
    return _number(hint, *usual, generator)


def _number(kind: type, low: float, high: float, generator: np.random.Generator) -> Any:
    if is_logarithmic(low, high):
        number = math.exp(generator.uniform(math.log(low), math.log(high)))
    elif kind is int:  # rounding would halve the chance of both ends
        return int(generator.integers(int(low), int(high) + 1))
    else:
        number = generator.uniform(low, high)
    rounded = round(number) if kind is int else float(f"{number:.{DIGITS}g}")
    return kind(min(max(rounded, low), high))
