"""The recommender: fit, score, recommend, explain, save and export."""

from recae.recommend.base import Recommender
from recae.recommend.explain.explanation import Explanation

__all__ = ["Explanation", "Recommender"]
