"""The report of a suite's results: report.md, and report.html, which is not in git.

python -m evaluation report ml1m_infae            # prints report.md, writes it and report.html
python -m evaluation report gowalla --metric ndcg@20
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.suites import published
from evaluation.suites.kept import load_entries
from evaluation.suites.read import Suite, read_suite, suite_names

SHOWN = 4
"""Number of metrics in the Markdown; the HTML page has all of them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and writes the report of one suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=suite_names())
    parser.add_argument("--metric", help="metric to sort and compare by (default: the suite's)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    suite = read_suite(options.suite)
    print(write(suite, options.results / suite.name, options.metric))
    return 0


def write(suite: Suite, folder: Path, metric: str | None = None) -> str:
    """Writes `report.md` and `report.html` to the folder of the results; returns the Markdown."""
    entries = with_members(suite, with_published(suite, in_order(suite, load_entries(folder))))
    about = {"metric": metric or suite.metric, "title": suite.title, "notes": suite.about}
    recae.report.html(entries, folder / "report.html", overwrite=True, **about)
    text = recae.report.markdown(entries, [*suite.metrics[:SHOWN]], **about)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text


def with_published(suite: Suite, entries: Sequence[recae.report.Entry]) -> list[recae.report.Entry]:
    """The entries with the current figures of `published.toml`."""
    keys = {name: candidate.published for name, candidate in suite.models.items()}
    return [
        replace(entry, published=published.of(suite.name, keys.get(entry.name, "")))
        for entry in entries
    ]


def with_members(suite: Suite, entries: Sequence[recae.report.Entry]) -> list[recae.report.Entry]:
    """The entries; those of blends know what their members were tuned in, and for how long."""
    known = {entry.name: entry for entry in entries}
    return [_blend(suite, entry, known) for entry in entries]


def _blend(
    suite: Suite, entry: recae.report.Entry, known: Mapping[str, recae.report.Entry]
) -> recae.report.Entry:
    candidate = suite.models.get(entry.name)
    members = [known[name] for name in (candidate.members if candidate else ()) if name in known]
    searched = {
        member.name: dict.fromkeys(
            key.removesuffix("_set") for trial in member.trials for key in trial["params"]
        )
        for member in members
    }
    first, *others = entry.reports
    if not any(searched.values()) or "tuning" in first.provenance:
        return entry
    facts = {
        "searched": "; ".join(
            f"{name} {', '.join(keys)}" for name, keys in searched.items() if keys
        ),
        "trials": sum(len(member.trials) for member in members),
        "seconds": sum(member.tuning_seconds or 0.0 for member in members),
    }
    first = replace(first, provenance={**first.provenance, "tuning": facts})
    return replace(entry, reports=[first, *others])


def in_order(suite: Suite, entries: Sequence[recae.report.Entry]) -> list[recae.report.Entry]:
    """The entries of the suite's models in its order, then all others."""
    places = {name: place for place, name in enumerate(suite.models)}
    return sorted(entries, key=lambda entry: (places.get(entry.name, len(places)), entry.name))


if __name__ == "__main__":
    raise SystemExit(main())
