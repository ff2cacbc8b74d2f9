"""Renders a report as a Markdown page that is also readable in a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from recae.errors import explained
from recae.report.entry import Entry, check_entries
from recae.report.pairs import HEAD, all_pairs, method, neighbours
from recae.report.rows import (
    Footnotes,
    amount,
    best_first,
    choose_metrics,
    cut_short,
    decimals,
    described,
    difference,
    figure,
    interval,
    measured,
    published_figure,
    texts,
    tuned,
    tuning_seconds,
    with_published,
)

TITLE = "Models compared"


@explained
def markdown(
    entries: Iterable[Entry],
    metrics: Sequence[str] | None = None,
    *,
    metric: str | None = None,
    title: str = TITLE,
    notes: str | Sequence[str] = (),
) -> str:
    """Entries as Markdown: a table, best first, the paired tests of neighbours, and footnotes.

    metrics: the columns (all by default); metric: the one to sort by and to test (the first of them
    that all entries have). The table has, for each entry, the mean of each metric over users and
    seeds, with its standard deviation if there are several seeds. The main metric also has the 95 %
    interval over the users of the first seed. Published figures follow, and ours minus theirs, in
    parentheses if a footnote explains why they cannot be compared. The last columns are median
    seconds of a fit, seconds of tuning, peak memory, and the settings that were tuned with the
    number of trials. Columns without a value are omitted. A footnote marks a model whose best trial
    was cut by the end of the tuning time. notes: paragraphs after the title.

    Raises ConfigError without entries, for two of one name and for unknown metrics; DataError for
    entries that were not measured on the same data.

    >>> print(recae.report.markdown([entry], title="Two"))
    # Two
    <BLANKLINE>
    | model | ndcg@5 |
    |-------|-------:|
    | ease  | 0.6000 |
    <BLANKLINE>
    """
    entries = check_entries(entries)
    main, *others = shown = choose_metrics(entries, metrics, metric)
    ordered, footnotes = best_first(entries, main), Footnotes()
    head, rows = _main_table(ordered, main, others, with_published(ordered, shown), footnotes)
    parts = [f"# {_escaped(title)}", *map(_escaped, texts("notes", notes))]
    left = [at for at, name in enumerate(head) if name in ("model", "tuned")]
    parts += [_table(head, rows, text=left), *_legend(ordered, main)]
    parts += _pairs(ordered, main)
    if footnotes.texts:
        lines = [f"[{n}] {_escaped(text)}  " for n, text in enumerate(footnotes.texts, start=1)]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _main_table(
    ordered: Sequence[Entry],
    main: str,
    others: Sequence[str],
    published: Sequence[str],
    footnotes: Footnotes,
) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table; empty columns are gone."""
    digits = {name: decimals(ordered, name) for name in (main, *others)}
    head = ["model"]
    for name in digits:
        head += [name, f"published {name}", "difference"] if name in published else [name]
    head += ["fit s", "tuning s", "memory GB", "tuned"]
    rows = []
    for entry in ordered:
        cut = cut_short(entry)
        row = [_escaped(entry.name) + (f" [{footnotes.number(cut)}]" if cut else "")]
        for name, count in digits.items():
            row.append(_cell(entry, name, name == main, count))
            if name in published:
                row += _published(entry, name, footnotes, count)
        costs = (entry.seconds, tuning_seconds(entry), entry.peak_gb)
        rows.append([*row, *map(amount, costs), _escaped(tuned(entry))])
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    return [_escaped(head[at]) for at in kept], [[row[at] for at in kept] for row in rows]


def _cell(entry: Entry, metric: str, main: bool, digits: int) -> str:
    found = measured(entry, metric)
    if found is None:
        return ""
    spread = f" ± {figure(found.sd, digits)}" if len(found.seeds) > 1 else ""
    bounds = f" {interval(found.low, found.high, digits)}" if main else ""
    return f"{figure(found.mean, digits)}{spread}{bounds}".rstrip()


def _published(entry: Entry, metric: str, footnotes: Footnotes, digits: int) -> list[str]:
    if metric not in entry.published or measured(entry, metric) is None:
        return ["", ""]
    theirs = entry.published[metric]
    number = footnotes.number(described(theirs))
    return [f"{published_figure(theirs, digits)} [{number}]", difference(entry, metric, digits)]


def _legend(ordered: Sequence[Entry], main: str) -> list[str]:
    """The legend of the signs that occur in the table."""
    seeds = sorted({len(entry.reports) for entry in ordered})
    said = []
    if seeds[-1] > 1:
        number = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        said.append(f"Means over users and {number} seeds, ± the standard deviation over seeds.")
    if any(
        interval(*entry.reports[0].interval.get(main, (float("nan"),) * 2)) for entry in ordered
    ):
        said.append(
            f"[low, high]: 95 % bootstrap interval of {_escaped(main)} over the users"
            + (", first seed." if seeds[-1] > 1 else ".")
        )
    return [" ".join(said)] if said else []


def _pairs(ordered: Sequence[Entry], metric: str) -> list[str]:
    """The paired tests of each entry and the next."""
    pairs = all_pairs(ordered, metric)
    if not pairs:
        return []
    cells = [pair.cells for pair in neighbours(pairs, ordered)]
    rows = [[_escaped(a), _escaped(b), *others] for a, b, *others in cells]
    about = (
        f"Paired over the users, {_escaped(metric)}. {method(pairs)}. Detectable: the difference "
        "that one such comparison by itself would miss one time in five."
    )
    return ["## Each against the next", about, _table(HEAD, rows, text=(0, 1, 5))]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    """A table with aligned columns; those in `text` stand left, all others right."""
    widths = [max(map(_width, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * (w + 2) if at in text else "-" * (w + 1) + ":" for at, w in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            space = " " * (width - _width(cell))
            padded.append(cell + space if at in text else space + cell)
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, rows)])


def _width(text: str) -> int:
    """The columns of a terminal that a text takes."""
    return sum(
        0
        if unicodedata.category(sign) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(sign) in "WF"
        else 1
        for sign in text
    )


def _escaped(text: object) -> str:
    """A text as one line in which Markdown finds nothing to do."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+", " ", str(text)).strip()
    line = re.sub(r"([\\`*|\[\]<>~$&])", r"\\\1", line)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)  # inside words it means nothing
