"""Reports for people: tables and plots."""

from recae.report.entry import Entry, Published
from recae.report.plots import plot_comparison
from recae.report.tables import comparison

__all__ = ["Entry", "Published", "comparison", "plot_comparison"]
