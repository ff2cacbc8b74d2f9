"""Loaders: how batches are built."""
