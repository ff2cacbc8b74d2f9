"""The weights of interactions that a model uses: its hyperparameters, transforms and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.weighting import TRANSFORMS, Weighting
from recae.errors import ConfigError, DataError, UnusedWeights, warn
from recae.estimators.params import param
from recae.recommend.frozen import freeze, tensor_of
from recae.recommend.sparse import with_weights_or_ones

WIDE = 100.0
"""Ratio of the largest weight to the smallest above which raw weights are warned of."""

ALIKE = 2.0
"""Ratio below which the weights tell so little that nobody misses them."""

TRAINED_ON = "Training data"
"""The table of a model card with their sizes and the range of their weights."""

BLOCK = 1 << 20
"""Weights that are looked at together."""

PREFIX = "weighting."
"""Of the saved arrays of a transform."""


def weights_param(
    doc: str = "whether X holds the weights of interactions or ones",
    choices: tuple[str, ...] = ("neither", "both"),
) -> Any:
    """The hyperparameter `weights`: where a model uses the weights of interactions."""
    return param(doc, default="neither", choices=choices, usual=choices)


def weight_transform_param() -> Any:
    """The hyperparameter `weight_transform` of a model with `weights`, see `Weighting`."""
    return param(
        "what the weights become first: themselves (none), ln(1 + w) (log1p), saturated and "
        "normalised (bm25), 1 (binarise), or the share of the user's weights that are at most as "
        "large (quantile)",
        default="none",
        choices=TRANSFORMS,
        usual=("none", "log1p", "bm25", "quantile"),
        added=True,
    )


def check_weights(model: Any) -> None:
    """Raises ConfigError for a transform of weights that the model does not use."""
    name = getattr(model, "weight_transform", "none")
    if name != "none" and model.weights == "neither":
        raise ConfigError(
            f"weight_transform={name!r} of {type(model).__name__} needs the weights of "
            "interactions, and weights='neither' does not use them: set weights to "
            f"{_others(model.param_fields())}",
            parameter="weights",
            value=model.weights,
        )


def check_some(data: Interactions) -> None:
    """Raises DataError for no interactions."""
    if not data.nnz:
        raise DataError("there are no interactions to learn from")


def learn_weighting(model: Any, data: Interactions) -> None:
    """Sets the transform of a model that is about to be fitted, and warns of unhelpful weights.

    Raises DataError for no interactions.
    """
    check_some(data)
    known = model.param_fields()
    used = getattr(model, "weights", "neither")
    name = getattr(model, "weight_transform", "none")
    model._weighting = Weighting.learn(name, data.matrix)
    warn_if_unused(model, data)
    if used == "neither" or name != "none" or known["weight_transform"].metadata["usual"] is None:
        return
    low, high = weight_range(data)
    if high > WIDE * low:
        warn(
            f"weights={used!r} of {type(model).__name__} takes weights from {low:g} to {high:g} as "
            "they are: a few large ones can outweigh all others. Set weight_transform to log1p, "
            "bm25 or quantile (on the command line --set weight_transform=log1p), or scale the "
            "weights"
        )


def weights_differ(data: Interactions) -> bool:
    """Whether the largest weight is at least twice the smallest: ratings of 4 and 5 tell little."""
    low, high = weight_range(data)
    return high >= ALIKE * low


def weight_range(data: Interactions) -> tuple[float, float]:
    weights = data.matrix.data
    return float(weights.min()), float(weights.max())


def uses_weights(model: Any, undeclared: bool = True) -> bool:
    """Whether the scores of a model may depend on the weights of a history, as its hyperparameter
    `weights` says. undeclared: the answer for a model that has none."""
    parts = _parts(model)
    if parts != [model]:  # an ensemble
        return any(uses_weights(part, undeclared) for part in parts)
    if "weights" not in model.param_fields():
        return undeclared
    if getattr(model, "weight_transform", "none") == "binarise":
        return False
    if "input" in model.param_fields()["weights"].metadata["choices"]:
        return model.weights in ("input", "both")
    return bool(model.needs_history and model.weights != "neither")


def _parts(model: Any) -> list[Any]:
    """The members of an ensemble, those that are fitted if it is; else the model alone."""
    return [*getattr(model, "members_", model._trained())]


def weights_seen(data: Interactions) -> dict[str, str]:
    """What a model card says of the weights of the training data; nothing where all are alike."""
    low, high = weight_range(data)
    return {"weights": f"{low:g} to {high:g}"} if low < high else {}


def warn_if_missing(
    model: Any, weights: np.ndarray, *, trained: str | None = None, where: str = "the histories"
) -> None:
    """Warns if histories have no weights, although a model uses them and was fitted with some.

    weights: (entries,) of the histories. trained: their range in the training data, for a model
    that is being fitted. where: what the histories are called.
    """
    found = trained or weights_known([model, *_parts(model)])
    if found is None or not uses_weights(model, False) or not _only_ones(weights):
        return
    warn(
        f"every interaction of {where} counts 1, but {type(model).__name__} was fitted with "
        f"weights from {found} and uses them: the lists can differ much. Name the column with "
        "weight= where they are read, or fit without weights"
    )


def weights_known(models: Sequence[Any]) -> str | None:
    """The range of the weights that the first of some models with weights was fitted with."""
    known = [model._facts.get(TRAINED_ON, {}).get("weights") for model in models]
    return next(filter(None, known), None)


def _only_ones(weights: np.ndarray) -> bool:
    """Whether there are weights and all are 1; reads on only as long as they are."""
    blocks = (weights[start : start + BLOCK] for start in range(0, len(weights), BLOCK))
    return len(weights) > 0 and all(bool((block == 1).all()) for block in blocks)


def warn_if_unused(model: Any, data: Interactions) -> None:
    """Warns with `UnusedWeights` if the data have weights and the model counts 1 for each.

    Weights whose ratio is below 2, such as ratings of 4 and 5, are not missed.
    """
    owner, known = type(model).__name__, model.param_fields()
    if "members" in known:  # each member of an ensemble is asked by itself
        return
    if not weights_differ(data) or getattr(model, "weights", "neither") != "neither":
        return
    low, high = weight_range(data)
    if "weights" in known:
        remedy = (
            f"to use them set weights to {_others(known)} (on the command line --set "
            f"weights={known['weights'].metadata['choices'][-1]})"
        )
    elif model.personalised:
        remedy = "EASE, ALS and Mult-VAE are models that can use them"
    else:
        return
    warn(
        f"the weights, from {low:g} to {high:g}, are not used: to {owner} every interaction counts "
        f"1; {remedy}. Interactions.binarised(), or --weight '' on the command line, drops the "
        "weights, and this warning with them",
        UnusedWeights,
    )


def _others(known: Mapping[str, Any]) -> str:
    """The values of `weights` other than "neither", in words."""
    return " or ".join(repr(c) for c in known["weights"].metadata["choices"] if c != "neither")


def weighted(model: Any, matrix: Any, *where: str) -> Any:
    """CSR histories as the model reads them, float32: the transformed weights where the
    hyperparameter `weights` is one of `where`, else ones."""
    used = model.weights in where
    return with_weights_or_ones(transformed(model, matrix) if used else matrix, used)


def values_of_one(model: Any, codes: np.ndarray, *where: str) -> np.ndarray | None:
    """The weights with which a model reads one history of ones, as `weighted`: (entries,) float32,
    or None where all are 1. codes: its items, ascending."""
    name = getattr(model, "weight_transform", "none")
    if name in ("none", "binarise") or model.weights not in where:
        return None
    row = np.ones(len(codes), dtype=np.float32), codes.astype(np.int32), [0, len(codes)]
    values: np.ndarray = transformed(model, sp.csr_matrix(row, shape=(1, len(model.items_)))).data
    return values


def transformed(model: Any, matrix: Any) -> Any:
    """The matrix with the weights that the hyperparameter `weight_transform` makes of its own; the
    matrix itself for "none"."""
    return _weighting(model).apply(matrix)


def _weighting(model: Any) -> Weighting:
    found: Weighting = getattr(model, "_weighting", Weighting())  # a blend of models has none
    return found


def state(model: Any) -> dict[str, Tensor]:
    """The learnt arrays of a model, those of its transform among them."""
    weighting, arrays = _weighting(model), dict(model._arrays())
    if weighting.idf is not None:
        arrays[f"{PREFIX}idf"] = tensor_of(weighting.idf)
        arrays[f"{PREFIX}length"] = torch.tensor([weighting.length], dtype=torch.float64)
    return arrays


def set_state(model: Any, arrays: Mapping[str, Tensor]) -> None:
    """The inverse of `state`, read-only; `items_` and the hyperparameters are set. Raises
    ValueError."""
    name = getattr(model, "weight_transform", "none")
    own = {key: tensor for key, tensor in arrays.items() if not key.startswith(PREFIX)}
    model._weighting = Weighting(name)
    if name == "bm25":
        idf, length = (arrays[f"{PREFIX}{part}"].double().numpy() for part in ("idf", "length"))
        if idf.shape != (len(model.items_),) or length.shape != (1,):
            raise ValueError(f"{PREFIX}idf holds {idf.shape} numbers, not {len(model.items_)}")
        if not (np.isfinite(idf).all() and (idf > 0).all() and 0 < length[0] < np.inf):
            raise ValueError(f"{PREFIX}idf and {PREFIX}length must be finite and above zero")
        model._weighting = Weighting(name, idf, float(length[0]))
    model._restore(own)
    freeze(model)
