"""Measuring a model on a fold, and what comes of it."""

from recae.evaluate.breakdown import by_history, by_popularity
from recae.evaluate.report import Report
from recae.evaluate.run import METRICS, evaluate
from recae.machine import versions

__all__ = ["METRICS", "Report", "by_history", "by_popularity", "evaluate", "versions"]
