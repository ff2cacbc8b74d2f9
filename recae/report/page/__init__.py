"""Entries as one HTML page that needs nothing else."""

from recae.report.page.document import html

__all__ = ["html"]
