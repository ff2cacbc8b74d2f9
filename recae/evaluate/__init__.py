"""Measuring a model on a fold, and what comes of it."""

from recae.evaluate.breakdown import by_history, by_popularity
from recae.evaluate.lists import Lists
from recae.evaluate.report import Report
from recae.evaluate.run import METRICS, evaluate
from recae.evaluate.scorer import Scorer
from recae.machine import versions

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
