"""Reports for people: tables, pages and plots."""

from recae.report.entry import Entry, Published
from recae.report.folder import load_entries
from recae.report.line_plots import plot_by_history, plot_curves
from recae.report.markdown_page import TITLE, markdown
from recae.report.page import html
from recae.report.plots import comparison, plot_accuracy_against_time, plot_comparison

__all__ = [
    "TITLE",
    "Entry",
    "Published",
    "comparison",
    "html",
    "load_entries",
    "markdown",
    "plot_accuracy_against_time",
    "plot_by_history",
    "plot_comparison",
    "plot_curves",
]
