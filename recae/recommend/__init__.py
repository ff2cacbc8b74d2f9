"""The recommender: fit, score, recommend, explain, save and export."""

from recae.recommend.base import Recommender

__all__ = ["Recommender"]
