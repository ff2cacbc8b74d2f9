"""Trackers by name, as a command line gives them."""

from __future__ import annotations

from typing import Any

from recae.errors import explained, unknown_option
from recae.tracking.mlflow_runs import MLflow
from recae.tracking.store import Store
from recae.tracking.summaries import TensorBoard
from recae.tracking.weights_and_biases import WandB

TRACKERS: dict[str, type[Store]] = {"mlflow": MLflow, "tensorboard": TensorBoard, "wandb": WandB}


@explained
def tracker_of(text: str, place: str = "recae", *, metrics: Any = (), model: bool = False) -> Store:
    """The tracker that `TOOL[:PLACE]` names: mlflow:EXPERIMENT, tensorboard:FOLDER, wandb:PROJECT.

    place: where none is given. metrics, model: as in `recae.tracking.Store`. Raises ConfigError for
    an unknown tool, and for one that is not installed.

    >>> recae.tracking.tracker_of("tensorboard:runs").folder.name  # doctest: +SKIP
    'runs'
    """
    tool, _, given = text.partition(":")
    if tool not in TRACKERS:
        raise unknown_option("tracker", tool, TRACKERS)
    made: Any = TRACKERS[tool]
    tracker: Store = made(given or place, metrics=metrics, model=model)
    return tracker
