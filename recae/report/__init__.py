"""Reports of many models for readers: tables, an HTML page, and charts."""

from recae.report.entry import Entry as Entry
from recae.report.entry import Published as Published
from recae.report.entry import load_entries as load_entries
from recae.report.figures import comparison as comparison
from recae.report.figures import plot_accuracy_against_time as plot_accuracy_against_time
from recae.report.figures import plot_by_history as plot_by_history
from recae.report.figures import plot_comparison as plot_comparison
from recae.report.figures import plot_curves as plot_curves
from recae.report.markdown_page import TITLE as TITLE
from recae.report.markdown_page import markdown as markdown
from recae.report.page import html as html
