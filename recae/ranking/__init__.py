"""From scores to lists: top-k, ties, masks and exclusions."""
