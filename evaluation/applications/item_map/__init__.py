"""Maps of items."""
