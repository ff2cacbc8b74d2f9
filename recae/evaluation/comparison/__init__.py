"""Compares models: paired tests, minimal detectable difference, and sources of variance."""

from recae.evaluation.comparison.paired import compare, verdicts
from recae.evaluation.comparison.significance import detectable_difference
from recae.evaluation.comparison.variance_sources import Variance, variance

__all__ = ["Variance", "compare", "detectable_difference", "variance", "verdicts"]
