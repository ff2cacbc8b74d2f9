"""Accuracy against seconds: a picture of each suite, and the models that no faster one beats.

    python -m evaluation frontier                    # every suite that has been run
    python -m evaluation frontier gowalla ml1m_infae

Writes two pictures to the results of a suite. `frontier.png` has the seconds of one fit.
`frontier-tuned.png` adds the trials up to the one whose setting was chosen: the time until a user
without a setting has the model. An ensemble takes the time of its members too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.suites.kept import load_entries
from evaluation.suites.read import Suite, read_suite, suite_names
from evaluation.suites.report import in_order
from recae.report.rows import less_is_better

PICTURES = {False: "frontier.png", True: "frontier-tuned.png"}
"""Whether the trials count -> the name of the picture."""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the pictures and prints who is on the frontiers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", choices=[[], *suite_names()], default=[])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    for name in options.suites or with_results(options.results):
        suite, folder = read_suite(name), options.results / name
        entries = in_order(suite, load_entries(folder))
        for tuned, picture in PICTURES.items():
            recae.report.plot_accuracy_against_time(
                timed(suite, entries, tuned), suite.metric, folder / picture, overwrite=True
            )
        print("\n".join(section(suite, entries)))
    return 0


def with_results(results: Path = RESULTS) -> list[str]:
    """The suites with at least two results."""
    return [name for name in suite_names() if len(list((results / name).glob("*.json"))) > 1]


def timed(
    suite: Suite, entries: Sequence[recae.report.Entry], tuned: bool
) -> list[recae.report.Entry]:
    """The entries, with the seconds to count as those of a fit; without those that took none."""
    spent = {entry.name: seconds(entry, tuned) for entry in entries}
    members = {name: model.members for name, model in suite.models.items()}
    total = {name: spent[name] + _of(members.get(name, ()), spent) for name in spent}
    return [replace(e, fit_seconds=[total[e.name]] * len(e.reports)) for e in entries]


def seconds(entry: recae.report.Entry, tuned: bool) -> float:
    """The median seconds of a fit, with or without the trials that led to its setting."""
    found = float(np.median(entry.fit_seconds)) if entry.fit_seconds else 0.0
    if tuned and entry.trials:
        ended = ("complete", "cut")
        values = [t["value"] if t["state"] in ended else None for t in entry.trials]
        best = max(value for value in values if value is not None)
        found += sum(trial["seconds"] for trial in entry.trials[: values.index(best) + 1])
    return found


def _of(members: Sequence[str], spent: Mapping[str, float]) -> float:
    return sum(spent.get(name, 0.0) for name in members)


def front(entries: Sequence[recae.report.Entry], metric: str) -> list[recae.report.Entry]:
    """The entries that no faster one reaches, the fastest first."""
    sign = -1.0 if less_is_better(metric) else 1.0
    best: list[recae.report.Entry] = []
    for entry in sorted(entries, key=lambda e: (e.seconds or 0.0, -sign * e.value(metric))):
        if not best or sign * entry.value(metric) > sign * best[-1].value(metric):
            best.append(entry)
    return best


def section(suite: Suite, entries: Sequence[recae.report.Entry]) -> list[str]:
    """A heading, and a line for either frontier."""
    lines = [f"### {suite.title}", ""]
    for tuned, what in (
        (False, "One fit"),
        (True, "Trials until the setting was found, and a fit"),
    ):
        steps = [
            f"`{entry.name}` {entry.value(suite.metric):.4f} ({_short(entry.seconds or 0.0)})"
            for entry in front(timed(suite, entries, tuned), suite.metric)
        ]
        lines.append(f"- {what}: {', '.join(steps)}")
    return [*lines, ""]


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())
