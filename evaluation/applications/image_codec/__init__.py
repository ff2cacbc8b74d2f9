"""Images in few bytes."""
