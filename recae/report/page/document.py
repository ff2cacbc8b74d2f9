"""One HTML page of entries: the table, the figures, the tests, and where it all comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from recae.report.entry import Entry
from recae.report.folder import check_entries
from recae.report.markdown_page import TITLE
from recae.report.page.elements import Markup, element, together
from recae.report.page.figures import (
    by_history_figure,
    by_popularity_figure,
    training_figures,
    tuning_figure,
)
from recae.report.page.forest import forest
from recae.report.page.matrix import matrix
from recae.report.page.provenance import facts, origins
from recae.report.page.scatter import against_coverage, against_time
from recae.report.page.shell import document, resource
from recae.report.page.table import main_table
from recae.report.pairs import all_pairs
from recae.report.published import Footnotes, with_published
from recae.report.rows import best_first, choose_metrics
from recae.system.files import atomic_file, check_target


def html(
    entries: Iterable[Entry],
    path: str | Path,
    *,
    metric: str | None = None,
    title: str = TITLE,
    notes: str | Sequence[str] = (),
) -> Path:
    """Writes entries as one HTML page that asks nothing of the network. Returns the path.

    It holds a table that can be sorted; the main metric with its intervals and published figures;
    accuracy against seconds, against coverage and by length of history; recall by popularity;
    training curves and tuning; which model is better than which; and the provenance of each entry.
    What nothing is known of is left out. metric: the main one (the first that all entries have);
    notes: paragraphs after the title. The page is written whole or not at all.

    Raises ConfigError without entries, for two of one name and for unknown metrics; DataError for
    entries that were not measured on the same data; StorageError if it cannot be written.

    >>> from recae.report import Entry, html
    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
    >>> html([Entry("ease", [recae.Report("EASE()", values)])], "page.html").name
    'page.html'
    """
    entries, target = check_entries(list(entries)), check_target(path)
    metrics = choose_metrics(entries, None, metric)
    ordered, footnotes = best_first(entries, metrics[0]), Footnotes()
    paragraphs = [notes] if isinstance(notes, str) else notes
    body = element(
        "main",
        element("h1", title),
        [element("p", paragraph) for paragraph in paragraphs],
        facts(ordered, metrics[0]),
        main_table(ordered, metrics, footnotes),
        _notes(ordered, metrics, footnotes),
        element("div", _figures(ordered, metrics[0]), class_="figures"),
        origins(ordered),
    )
    with atomic_file(target) as part:
        style, script = (resource("recae.report.page", name) for name in ("page.css", "page.js"))
        part.write_text(document(title, body, style, script), encoding="utf-8")
    return Path(path)


def _figures(ordered: Sequence[Entry], metric: str) -> list[Markup]:
    pairs = all_pairs(ordered, metric)
    drawn = [
        forest(ordered, metric),
        matrix(ordered, pairs, metric) if pairs else None,
        against_time(ordered, metric),
        *against_coverage(ordered, metric),
        by_history_figure(ordered, metric),
        by_popularity_figure(ordered),
        *training_figures(ordered),
        tuning_figure(ordered, metric),
    ]
    return [figure for figure in drawn if figure is not None]


def _notes(ordered: Sequence[Entry], metrics: Sequence[str], footnotes: Footnotes) -> Markup:
    """What the signs of the table mean, and its footnotes."""
    metric, *others = metrics
    several = any(len(entry.reports) > 1 for entry in ordered)
    said = []
    if several:
        said.append("Means over users and seeds, ± the standard deviation over seeds.")
    if any(metric in entry.reports[0].interval for entry in ordered):
        first = ", first seed" if several else ""
        said.append(f"[low, high]: 95 % bootstrap interval of {metric} over the users{first}.")
    if with_published(ordered, others):
        said.append("◇ published figure.")
    notes = [element("li", t, id=f"note-{n}") for n, t in enumerate(footnotes.texts, start=1)]
    return together(
        element("p", " ".join(said), class_="legend") if said else None,
        element("ol", notes, class_="notes") if notes else None,
    )
