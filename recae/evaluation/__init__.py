"""Evaluates models and other systems on a fold; reports and their breakdowns."""

import lazy_loader

from recae.evaluation.breakdown import by_history, by_popularity
from recae.evaluation.external import Lists, Scorer
from recae.evaluation.report import Report
from recae.evaluation.run import METRICS, evaluate, rmse
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
