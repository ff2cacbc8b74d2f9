"""Beyond one night and one machine: sizes, kills, clusters, and what they cost."""
