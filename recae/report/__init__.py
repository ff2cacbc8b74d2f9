"""Reports for people: tables, pages and plots."""

from recae.report.entry import Entry, Published
from recae.report.folder import load_entries
from recae.report.markdown import markdown
from recae.report.page import html
from recae.report.plots import plot_comparison
from recae.report.tables import comparison

__all__ = [
    "Entry",
    "Published",
    "comparison",
    "html",
    "load_entries",
    "markdown",
    "plot_comparison",
]
