"""Steering by tastes."""
