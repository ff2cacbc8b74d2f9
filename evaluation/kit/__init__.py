"""Shared parts of the scripts: provenance, tables, pictures, grid search, size, call traces."""
