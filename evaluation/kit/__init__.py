"""Shared parts of the scripts: provenance, tables, pictures, grid search, size and call traces of
recae."""
