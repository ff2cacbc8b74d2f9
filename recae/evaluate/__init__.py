"""Measuring a model on a fold, and what comes of it."""

from recae.evaluate.report import Report
from recae.evaluate.run import METRICS, evaluate
from recae.machine import versions

__all__ = ["METRICS", "Report", "evaluate", "versions"]
