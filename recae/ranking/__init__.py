"""Ranking: top-k lists from scores, with ties, masks and exclusions."""

from recae.ranking.top_k import TopK

__all__ = ["TopK"]
