"""Measuring a model on a fold, and what comes of it."""

import lazy_loader

from recae.evaluation.breakdown import by_history, by_popularity
from recae.evaluation.lists import Lists
from recae.evaluation.rating_error import rmse
from recae.evaluation.report import Report
from recae.evaluation.run import METRICS, evaluate
from recae.evaluation.scorer import Scorer
from recae.system.machine import versions

__all__ = [
    "METRICS",
    "Lists",
    "Report",
    "Scorer",
    "by_history",
    "by_popularity",
    "evaluate",
    "rmse",
    "versions",
]

# `recae.evaluation.comparison` is there without an import of its own.
__getattr__, _, _ = lazy_loader.attach(__name__, submodules=["comparison"])
