"""Grid search: every setting is fitted on train and measured on validation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import recae

Grid = Mapping[str, Sequence[Any]]


def choose(
    template: recae.Recommender,
    grid: Grid,
    train: recae.Interactions,
    validation: recae.Fold,
    metric: str,
    seed: int,
) -> tuple[recae.Recommender, list[dict[str, Any]]]:
    """The fitted model with the best setting on validation, and all trials. Prints each trial as it
    ends."""
    best, best_value, trials = template, float("-inf"), []
    for values in itertools.product(*grid.values()):
        params = dict(zip(grid, values, strict=True))
        started = time.perf_counter()
        model = template.clone().set_params(**params)
        model.fit(train, validation, seed=seed)
        value = recae.evaluate(model, validation, [metric])[metric]
        seconds = time.perf_counter() - started
        trials.append({"params": params, metric: value, "seconds": round(seconds, 1)})
        print(
            f"{model.name:<11} validation {metric} {value:.4f}  {seconds:5.1f} s  {params}",
            flush=True,
        )
        if value > best_value:
            best, best_value = model, value
    return best, trials
