"""Filters of the spectrum of the item-item matrix."""
