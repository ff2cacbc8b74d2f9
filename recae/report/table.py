"""The tables of a page: sortable metrics of all models, and the paired tests between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.entry import Entry, Published
from recae.report.markup import Markup, element, figure_box, scrolling, table, together
from recae.report.pairs import HEAD, Pair, method, neighbours, share
from recae.report.rows import (
    Footnotes,
    Measured,
    amount,
    cut_short,
    decimals,
    described,
    difference,
    figure,
    interval,
    less_is_better,
    measured,
    published_figure,
    signed,
    tuned,
    tuning_seconds,
    with_published,
)

HALF = 13
"""So many columns fit on half a page; a larger square has the full width."""
SIGNS = {"better": "▲", "worse": "▼", "not settled": "·"}


def main_table(ordered: Sequence[Entry], metrics: Sequence[str], footnotes: Footnotes) -> Markup:
    """A row for each entry, best first; metrics[0] is the main one. Empty columns are left out."""
    columns: list[tuple[str, list[Markup]]] = []
    if any(len(entry.reports) > 1 for entry in ordered):
        counts = [len(entry.reports) for entry in ordered]
        columns.append(("seeds", [_cell(count, str(count)) for count in counts]))
    digits = {name: decimals(ordered, name) for name in metrics}
    main, count = metrics[0], digits[metrics[0]]
    columns.append((main, [_main(entry, main, count) for entry in ordered]))
    if with_published(ordered, [main]):
        theirs = [_published(entry, main, footnotes, count) for entry in ordered]
        columns.append((f"{main} published", theirs))
        columns.append((f"{main} difference", [_difference(e, main, count) for e in ordered]))
    for name in metrics[1:]:
        cells = [_other(entry, name, footnotes, digits[name]) for entry in ordered]
        columns.append((name, cells))
    known = {
        "fit s": [entry.seconds for entry in ordered],
        "tuning s": [tuning_seconds(entry) for entry in ordered],
        "memory GB": [entry.peak_gb for entry in ordered],
    }
    for name, values in known.items():
        if any(amount(value) for value in values):
            columns.append((name, [_cell(value, amount(value)) for value in values]))
    settings = [tuned(entry) for entry in ordered]
    if any(settings):
        columns.append(("tuned", [element("td", text, data_value=text) for text in settings]))
    head = [_head("model", None)]
    for name, _ in columns:
        direction = "ascending" if less_is_better(name) else "descending"
        head.append(_head(name, direction if name == metrics[0] else None))
    rows = [
        element("tr", _name(number, entry, footnotes), [cells[number - 1] for _, cells in columns])
        for number, entry in enumerate(ordered, start=1)
    ]
    sortable = element(
        "table",
        element(
            "caption", f"All models, sorted by {metrics[0]}. A click on a heading sorts by it."
        ),
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="sortable",
    )
    return scrolling("Table of all models", sortable)


def _head(name: str, sorted_: str | None) -> Markup:
    return element("th", element("button", name, type="button"), scope="col", aria_sort=sorted_)


def _name(number: int, entry: Entry, footnotes: Footnotes) -> Markup:
    link, cut = element("a", entry.name, href=f"#entry-{number}"), cut_short(entry)
    mark = _note(footnotes.number(cut)) if cut else None
    return element("th", link, mark, scope="row", data_value=entry.name.lower())


def _note(number: int) -> Markup:
    """The number of a note, as a link to it."""
    link = element("a", str(number), href=f"#note-{number}", aria_label=f"note {number}")
    return element("sup", link)


def _cell(value: float | None, *shown: object) -> Markup:
    """A number with what is shown of it; without a value it is sorted last."""
    known = value is not None and math.isfinite(value)
    return element(
        "td", shown, data_value=repr(float(value)) if known and value is not None else None
    )


def _main(entry: Entry, metric: str, digits: int) -> Markup:
    """The main metric with its interval."""
    found = measured(entry, metric)
    bounds = interval(found.low, found.high, digits) if found else ""
    between = element("small", bounds, class_="interval") if bounds else None
    return _measured(found, "strong", digits, between)


def _other(entry: Entry, metric: str, footnotes: Footnotes, digits: int) -> Markup:
    """Any other metric, the published figure below it: a column of its own would cost width."""
    found, theirs = measured(entry, metric), None
    if found and metric in entry.published:
        published = element("span", "◇", role="img", aria_label="published"), " "
        theirs = element("small", published, _figure(entry.published[metric], footnotes, digits))
    return _measured(found, "span", digits, theirs)


def _measured(found: Measured | None, tag: str, digits: int, beside: Markup | None) -> Markup:
    """A mean with its deviation over the seeds, and what stands beside it."""
    if found is None:
        return _cell(None)
    spread = f" ± {figure(found.sd, digits)}" if len(found.seeds) > 1 else None
    mean = element(tag, figure(found.mean, digits))
    return _cell(found.mean, mean, element("small", spread) if spread else None, beside)


def _published(entry: Entry, metric: str, footnotes: Footnotes, digits: int) -> Markup:
    if metric not in entry.published or measured(entry, metric) is None:
        return _cell(None)
    theirs = entry.published[metric]
    return _cell(theirs.value, _figure(theirs, footnotes, digits))


def _figure(theirs: Published, footnotes: Footnotes, digits: int) -> Markup:
    """A published figure with the number of its note."""
    number = footnotes.number(described(theirs))
    return together(published_figure(theirs, digits), _note(number))


def _difference(entry: Entry, metric: str, digits: int) -> Markup:
    if metric not in entry.published or measured(entry, metric) is None:
        return _cell(None)
    value = entry.value(metric) - entry.published[metric].value
    return _cell(value, difference(entry, metric, digits))


def matrix(ordered: Sequence[Entry], pairs: Sequence[Pair], metric: str) -> Markup:
    """The verdict on each pair: the model of the row against that of the column."""
    names = [entry.name for entry in ordered]
    cells: dict[tuple[str, str], Markup] = {}
    for pair in pairs:
        for seen in (pair, pair.turned):
            cells[seen.a, seen.b] = _verdict(seen)
    head = [element("td"), *(_number(number, name) for number, name in enumerate(names, start=1))]
    rows = [
        element(
            "tr",
            element("th", f"{number} {name}", scope="row"),
            [cells.get((name, other), element("td", class_="self")) for other in names],
        )
        for number, name in enumerate(names, start=1)
    ]
    title = f"Who is better, {metric}"
    note = (
        "The model of the row against that of the column: ▲ better, ▼ worse, · not settled. Paired "
        f"over the users. {method(pairs)}. Point at a cell for the difference, its 95 % interval "
        "and p."
    )
    square = element(
        "table",
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="matrix",
    )
    numbers = table(
        "Each against the next",
        HEAD,
        [pair.cells for pair in neighbours(pairs, ordered)],
        summary="Each against the next",
    )
    return figure_box(
        "pairs", title, note, scrolling(title, square), numbers, wide=len(names) > HALF
    )


def _number(number: int, name: str) -> Markup:
    return element("th", str(number), scope="col", title=name, aria_label=name)


def _verdict(pair: Pair) -> Markup:
    found = pair.verdict
    hint = f"{pair.a} against {pair.b}: {signed(pair.difference)} "
    hint += f"{interval(pair.low, pair.high)}, p {share(pair.p)}"
    return element("td", SIGNS[found], class_=found.replace(" ", "-"), title=hint, aria_label=found)
