"""Renders a report as one HTML page: table, figures, paired tests and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recae.errors import explained
from recae.report.canvas import as_svg
from recae.report.charts import Chart
from recae.report.entry import Entry, check_entries
from recae.report.figures import report_charts
from recae.report.markdown_page import TITLE
from recae.report.markup import (
    Markup,
    document,
    element,
    figure_box,
    resource,
    scrolling,
    table,
    together,
)
from recae.report.pairs import all_pairs
from recae.report.rows import (
    Footnotes,
    amount,
    best_first,
    choose_metrics,
    texts,
    with_published,
)
from recae.report.table import main_table, matrix
from recae.system.files import PAGES, atomic_file, check_target, plain
from recae.system.machine import can_draw

NO_FIGURES = 'The charts need matplotlib: pip install "recae[plot]" and write this page again.'

FACTS = {
    "users": "users with a target",
    "items": "items",
    "target": "targets",
    "history": "histories",
    "mask": "masks",
    "commit": "commit",
    "machine": "machine",
    "device": "device",
}
"""Parts of a provenance, and what they are called in the head of a page."""


@explained
def html(
    entries: Iterable[Entry],
    path: str | Path,
    *,
    metric: str | None = None,
    title: str = TITLE,
    notes: str | Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Writes entries as one HTML page that fetches nothing from the network. Returns the path.

    It holds a sortable table and the main metric with its intervals and published figures. There
    are charts of accuracy against seconds, against coverage and by length of history, of recall by
    popularity, and of training curves and tuning. It also shows which model is better than which,
    and the provenance of each entry. Parts without data are omitted. The charts are those of
    matplotlib; without it (`pip install "recae[plot]"`) the page has the tables. metric: the main
    one (the first that all entries have); notes: paragraphs after the title; overwrite: replace a
    file that is there. The page is written atomically, and the same entries give the same bytes.

    Raises ConfigError without entries, for two of one name and for unknown metrics; DataError for
    entries that were not measured on the same data; StorageError if it cannot be written.

    >>> recae.report.html([entry], "page.html").name
    'page.html'
    """
    entries, target = (
        check_entries(entries),
        check_target(path, overwrite=overwrite, endings=PAGES),
    )
    metrics = choose_metrics(entries, None, metric)
    ordered, footnotes = best_first(entries, metrics[0]), Footnotes()
    paragraphs = texts("notes", notes)
    body = element(
        "main",
        element("h1", title),
        [element("p", paragraph) for paragraph in paragraphs],
        facts(ordered, metrics[0]),
        main_table(ordered, metrics, footnotes),
        _notes(ordered, metrics, footnotes),
        None if can_draw() else element("p", NO_FIGURES, class_="legend"),
        element("div", _figures(ordered, metrics[0]), class_="figures"),
        origins(ordered),
    )
    with atomic_file(target, overwrite=overwrite) as part:
        style, script = (resource("recae.report", name) for name in ("page.css", "page.js"))
        part.write_text(document(title, body, style, script), encoding="utf-8")
    return Path(path)


def _figures(ordered: Sequence[Entry], metric: str) -> list[Markup]:
    """The charts, with the matrix of pairs as the second. Without matplotlib there are only those
    that have numbers to show, and the matrix."""
    drawing, pairs = can_draw(), all_pairs(ordered, metric)
    charts = [c for c in report_charts(ordered, metric) if drawing or c.numbers]
    figures = [_figure(chart, drawing) for chart in charts]
    if pairs:
        at = 1 if charts and charts[0].key == "forest" else 0
        figures.insert(at, matrix(ordered, pairs, metric))
    return figures


def _figure(chart: Chart, drawing: bool) -> Markup:
    drawn = as_svg(chart.draw(), chart.key, chart.title) if drawing else None
    numbers = table(chart.title, *chart.numbers) if chart.numbers else None
    box = scrolling(chart.title, drawn) if drawn else None
    return figure_box(chart.key, chart.title, chart.note, box, numbers, wide=chart.wide)


def _notes(ordered: Sequence[Entry], metrics: Sequence[str], footnotes: Footnotes) -> Markup:
    """The legend of the signs in the table, and its footnotes."""
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


def facts(ordered: Sequence[Entry], metric: str) -> Markup:
    """The protocol in a few lines: the settings that all entries share, and the differences."""
    sources = [
        source
        for entry in ordered
        for source in (entry.provenance, *(report.provenance for report in entry.reports))
    ]
    seeds = sorted({len(entry.reports) for entry in ordered})
    said: list[tuple[str, object]] = [
        ("models", f"{len(ordered):,}"),
        ("seeds", " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))),
        ("sorted by", metric),
    ]
    for key, name in FACTS.items():
        values = _distinct(source.get(key) for source in sources)
        if values:
            code = key in ("target", "history", "mask", "commit")
            shown = [element("code", v) if code else v for v in values]
            said.append((name, [part for v in shown for part in (", ", v)][1:]))
    dates = sorted(str(source["date"]) for source in sources if source.get("date"))
    if dates:
        first, last = dates[0][:10], dates[-1][:10]
        said.append(("measured", first if first == last else f"{first} to {last}"))
    versions = [source.get("versions") for source in sources]
    software = {
        f"{name} {version}"
        for known in versions
        if isinstance(known, Mapping)
        for name, version in known.items()
        if name in ("recae", "python", "torch")
    }
    if software:
        said.append(("software", ", ".join(sorted(software))))
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in said]
    return element("dl", pairs, class_="facts")


def origins(ordered: Sequence[Entry]) -> Markup:
    """A folded part for each entry, with its settings and all that is known of its origin."""
    return element(
        "section",
        element("h2", "Where each figure comes from"),
        [_origin(number, entry) for number, entry in enumerate(ordered, start=1)],
        id="origins",
    )


def _origin(number: int, entry: Entry) -> Markup:
    """Where one entry comes from: settings, seconds and provenance, folded."""
    seconds = ", ".join(f"{amount(seconds)} s" for seconds in entry.fit_seconds)
    parts: list[Markup] = [element("p", element("code", entry.reports[0].model))]
    if seconds:
        parts.append(element("p", f"Seconds of each fit: {seconds}"))
    if entry.provenance:
        parts += [element("h3", "The entry"), element("pre", _readable(entry.provenance))]
    for seed, report in enumerate(entry.reports, start=1):
        if report.provenance:
            name = "The report" if len(entry.reports) == 1 else f"The report of seed {seed}"
            parts += [element("h3", name), element("pre", _readable(report.provenance))]
    return element("details", element("summary", entry.name), parts, id=f"entry-{number}")


def _readable(content: Mapping[str, Any]) -> str:
    def other(value: Any) -> Any:
        try:
            return plain(value)
        except TypeError:
            return str(value)

    return json.dumps(dict(content), indent=1, ensure_ascii=False, default=other)


def _distinct(values: Any) -> list[str]:
    """Each value once, as text, numbers with commas; at most three and how many more."""
    found = [v for v in values if v is not None and v != ""]
    texts = list(dict.fromkeys(f"{v:,}" if isinstance(v, int) else str(v) for v in found))
    return texts if len(texts) <= 3 else [*texts[:3], f"{len(texts) - 3} more"]
