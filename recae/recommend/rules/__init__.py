"""Rules of lists: what may be listed, in which order, and what is put in by hand."""

from recae.recommend.rules.declared import Rules

__all__ = ["Rules"]
