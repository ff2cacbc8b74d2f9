"""The recommender: fit, score, recommend, explain, save and export."""

from recae.recommend.base import Recommender
from recae.recommend.export import export_top_k

__all__ = ["Recommender", "export_top_k"]
