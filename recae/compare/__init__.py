"""Whether one model is better than another, how sure that is, and what could have been shown."""

from recae.compare.compare import compare
from recae.compare.detectable import detectable_difference
from recae.compare.variance import Variance, variance
from recae.compare.verdicts import verdicts

__all__ = ["Variance", "compare", "detectable_difference", "variance", "verdicts"]
