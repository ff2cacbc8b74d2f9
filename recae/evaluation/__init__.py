"""Measuring a model on a fold, and what comes of it."""

from recae.evaluation.breakdown import by_history, by_popularity
from recae.evaluation.lists import Lists
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
    "versions",
]
