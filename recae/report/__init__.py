"""Reports of many models for readers: tables, an HTML page, and charts."""

from recae.report.entry import Entry, Published, load_entries
from recae.report.figures import (
    comparison,
    plot_accuracy_against_time,
    plot_by_history,
    plot_comparison,
    plot_curves,
)
from recae.report.markdown_page import TITLE, markdown
from recae.report.page import html

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
