"""Which model is better than which: all pairs in a square."""

from __future__ import annotations

from collections.abc import Sequence

from recae.report.entry import Entry
from recae.report.page.drawing import scrolling, table
from recae.report.page.elements import Markup, element
from recae.report.pairs import Pair, neighbours, share
from recae.report.published import signed
from recae.report.rows import interval

HALF = 13
"""So many columns fit on half a page; a larger square has the whole width."""
SIGNS = {"better": "▲", "worse": "▼", "not settled": "·"}


def matrix(ordered: Sequence[Entry], pairs: Sequence[Pair], metric: str) -> Markup:
    """The verdict on each pair: the model of the row against that of the column."""
    names = [entry.name for entry in ordered]
    cells: dict[tuple[str, str], Markup] = {}
    for pair in pairs:
        for seen in (pair, pair.turned):
            cells[seen.a, seen.b] = _cell(seen)
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
        f"over the users of the first seeds; Wilcoxon's signed-rank test at 5 %, adjusted for "
        f"{len(pairs):,} {'pair' if len(pairs) == 1 else 'pairs'} (Holm). Point at a cell for the "
        "difference, its 95 % interval and p."
    )
    square = element(
        "table",
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="matrix",
    )
    numbers = table(
        "Each against the next",
        ["model", "against", "difference", "95 % interval", "p", "verdict"],
        [
            (p.a, p.b, signed(p.difference), interval(p.low, p.high), share(p.p), p.verdict)
            for p in neighbours(pairs, ordered)
        ],
        summary="Each against the next",
    )
    return element(
        "figure",
        element("figcaption", element("h2", title), element("p", note)),
        scrolling(title, square),
        numbers,
        id="figure-pairs",
        class_="wide" if len(names) > HALF else None,
    )


def _number(number: int, name: str) -> Markup:
    return element("th", str(number), scope="col", title=name, aria_label=name)


def _cell(pair: Pair) -> Markup:
    found = pair.verdict
    hint = f"{pair.a} against {pair.b}: {signed(pair.difference)} "
    hint += f"{interval(pair.low, pair.high)}, p {share(pair.p)}"
    return element("td", SIGNS[found], class_=found.replace(" ", "-"), title=hint, aria_label=found)
