"""Models that score by similar users or items."""
