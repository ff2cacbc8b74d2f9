"""Measurements of the applications of autoencoders other than recommendation."""
