"""From scores to lists: top-k, ties, masks and exclusions."""

from recae.ranking.top_k import TopK

__all__ = ["TopK"]
