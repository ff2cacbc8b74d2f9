"""Malformed input of more than a hundred kinds, and the one error that each of them gets."""
