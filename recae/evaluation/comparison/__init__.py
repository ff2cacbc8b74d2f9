"""Compares models: paired tests, minimal detectable difference, and sources of variance."""

from recae.evaluation.comparison.paired import compare as compare
from recae.evaluation.comparison.paired import verdicts as verdicts
from recae.evaluation.comparison.significance import detectable_difference as detectable_difference
from recae.evaluation.comparison.variance_sources import Variance as Variance
from recae.evaluation.comparison.variance_sources import variance as variance
