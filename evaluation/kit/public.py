"""The public names of recae: what users import, at the top level and from the rooms."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import recae

ROOMS = ["report", "evaluation.comparison", "apply.anomaly", "apply.compress", "apply.generate"]
ROOMS += ["apply.steer"]
"""Rooms all of whose names are public."""
SINGLE = {
    "apply.maps": ["Coherence", "Map", "map_codes", "map_items", "map_users"],
    "data": ["Dataset", "IdMap", "dataset_card", "dataset_names"],
    "data.splits": [
        *("RollingTime", "Split", "WeakKFold", "fixed_folds", "holdout_pairs", "repeated"),
    ],
    "errors": [name for name, value in vars(recae.errors).items() if inspect.isclass(value)],
    "evaluation": [
        *("Scorer", "by_history", "by_popularity", "rank_biased_overlap", "rating_errors", "rmse"),
    ],
    "metrics": ["Metric"],
    "mlflow": ["load_model", "log_model"],
    "ranking": ["TopK"],
    "scale": ["Recommend", "load_export", "map_in_arrow", "ray_export"],
    "serve": ["open_store", "write_histories"],
    "system.checkup": ["Checkup", "Finding"],
    "tracking": ["MLflow", "Store", "TensorBoard", "WandB"],
    "training": ["Epoch", "Job", "Result", "Tracker"],
    "tuning": ["Tuning"],
}
"""Rooms some of whose names are public, and these names."""


def _is_ours(value: Any) -> bool:
    shown = inspect.isclass(value) or inspect.isfunction(value)
    return shown and bool(value.__module__.startswith("recae"))


def offered() -> dict[str, tuple[str, Any]]:
    """Name -> its address, such as `recae.report.html`, and the class or function.

    >>> offered()["EASE"][0], offered()["IdMap"][0]
    ('recae.EASE', 'recae.data.IdMap')
    """
    found = {name: (f"recae.{name}", getattr(recae, name)) for name in recae.__all__}
    for room in [*ROOMS, *SINGLE]:
        module = importlib.import_module(f"recae.{room}")
        names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
        for name in SINGLE.get(room, names):
            found.setdefault(name, (f"recae.{room}.{name}", getattr(module, name)))
    return {name: (where, value) for name, (where, value) in found.items() if _is_ours(value)}
