"""Loads exports into databases."""

from recae.scale.databases.load import load_export as load_export
