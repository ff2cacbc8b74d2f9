"""Paired tests between the models of a suite, on the same users.

python -m evaluation compare ml1m_infae                        # each with the next better one
python -m evaluation compare ml1m_infae --baseline ease
python -m evaluation compare ml1m_infae --models ease,mult-vae --metric recall@20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.suites.kept import load_entries
from evaluation.suites.read import read_suite, suite_names
from recae.errors import unknown_option
from recae.report.rows import best_first


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the comparison as a table and as sentences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=suite_names())
    parser.add_argument("--metric", help="metric to compare by (default: the suite's)")
    parser.add_argument("--baseline", help="compare every other model with this one")
    parser.add_argument("--models", help="some of the models, comma-separated")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    suite = read_suite(options.suite)
    metric = options.metric or suite.metric
    entries = {e.name: e for e in load_entries(options.results / suite.name)}
    if options.models:
        for name in options.models.split(","):
            if name not in entries:
                raise unknown_option(f"result of {suite.name}", name, entries)
        entries = {name: entries[name] for name in options.models.split(",")}
    ordered = best_first(list(entries.values()), metric)
    reports = {entry.name: list(entry.reports) for entry in ordered}
    frame = recae.compare(reports, metric, options.baseline)
    if options.baseline is None and not options.models:
        names = list(reports)
        neighbours = set(zip(names, names[1:], strict=False))
        shown = frame[[pair in neighbours for pair in zip(frame["a"], frame["b"], strict=True)]]
    else:
        shown = frame
    print(shown.to_string(index=False, float_format="%.4g"))
    print("\n".join(recae.evaluation.comparison.verdicts(shown)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
