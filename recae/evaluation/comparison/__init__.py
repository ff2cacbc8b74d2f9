"""Whether one model is better than another, how sure that is, and what could have been shown."""

from recae.evaluation.comparison.detectable import detectable_difference
from recae.evaluation.comparison.paired import compare
from recae.evaluation.comparison.variance_sources import Variance, variance
from recae.evaluation.comparison.wording import verdicts

__all__ = ["Variance", "compare", "detectable_difference", "variance", "verdicts"]
