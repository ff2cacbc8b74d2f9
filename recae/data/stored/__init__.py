"""Interactions kept in a folder on disk: made of tables larger than memory, and memory-mapped."""
