"""Compares every published row with our result, and states whether the protocol is the same.

    python -m evaluation published            # all suites: first those with results
    python -m evaluation published gowalla

The figures and their sources are in `evaluation/published.toml`.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.suites.kept import load_entries, names
from evaluation.suites.read import read_suite, suite_names
from recae.report import Published

FILE = Path(__file__).parents[1] / "published.toml"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table for each suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", default=[], choices=[[], *suite_names()])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    print(document(options.suites or list(read()), options.results))
    return 0


def document(suites: Sequence[str], results: Path = RESULTS) -> str:
    """The tables of these suites, as Markdown."""
    return "\n".join(line for suite in suites for line in _section(suite, results / suite))


def read(path: Path = FILE) -> dict[str, Any]:
    """Maps each suite to its title, protocol and rows."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def of(suite: str, model: str) -> dict[str, Published]:
    """Maps each metric to the published figure of a model in a suite; the first row with the metric
    counts."""
    found: dict[str, Published] = {}
    for row in read().get(suite, {}).get("rows", []):
        if row["model"] == model:
            for metric, value in row["values"].items():
                found.setdefault(metric, _figure(row, value))
    return found


def _figure(row: dict[str, Any], value: float) -> Published:
    unsure = "" if row.get("checked", True) else "not checked at its source"
    note = "; ".join(part for part in (row.get("note", ""), unsure) if part)
    return Published(value, row["source"], row.get("comparable", True), note)


def _section(suite: str, folder: Path) -> Iterator[str]:
    table = read().get(suite)
    if table is None:
        yield f"### {read_suite(suite).title}\n\nNo published figures.\n"
        return
    ours = _ours(suite, folder)
    yield f"### {table['title']}\n\n{table['protocol'][:1].upper()}{table['protocol'][1:]}.\n"
    yield "| published | metric | figure | ours | difference | same protocol | source |"
    yield "|---|---|---|---|---|---|---|"
    for row in table["rows"]:
        entry = ours.get(row["model"])
        for metric, value in row["values"].items():
            figure = _figure(row, value)
            mine, difference = "not run", ""
            if entry is not None and metric in entry.reports[0].mean:
                digits = max(4, len(f"{value}".partition(".")[2]))
                mine = f"{entry.value(metric):.{digits}f}"
                difference = f"{round(entry.value(metric) - value, digits) + 0.0:+.{digits}f}"
                mine += f" `{entry.name}`"
            same = "yes" if figure.comparable else "no"
            same += f": {figure.note}" if figure.note else ""
            name = row.get("name", row["model"])
            cells = [name, metric, str(value), mine, difference, same, figure.source]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _ours(suite: str, folder: Path) -> dict[str, recae.report.Entry]:
    """Maps the key of a published row to our entry; empty if the suite has no results."""
    if not names(folder):
        return {}
    models = read_suite(suite).models
    return {
        models[entry.name].published: entry
        for entry in load_entries(folder)
        if entry.name in models
    }


if __name__ == "__main__":
    raise SystemExit(main())
