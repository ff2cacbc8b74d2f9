"""Item embeddings in few bytes."""
