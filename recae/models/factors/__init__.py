"""Models that score by products of user and item factors."""
