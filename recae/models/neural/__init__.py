"""Autoencoders trained in epochs."""
