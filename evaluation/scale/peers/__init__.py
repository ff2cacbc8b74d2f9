"""Sides of the comparison of exports that run in environments of other libraries."""
