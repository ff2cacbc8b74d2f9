"""Show saved results side by side: a table, paired tests, one HTML page.

FOLDER holds a directory for each model, as `recae evaluate --entries FOLDER` and Entry.save write
them. Results that were measured on different data are refused. Without a file to write, the report
is printed as Markdown.

example:
  recae evaluate plays.parquet --models popularity,ease --entries results
  recae report results --html report.html
"""

from __future__ import annotations

import argparse
from typing import Any

import recae
from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places
from recae.report import TITLE
from recae.system.files import PAGES, atomic_file


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae report`."""
    parser.add_argument("folder", metavar="FOLDER", help="where the results are")
    parser.add_argument(
        "--html", metavar="FILE.html", help="write one page with tables and figures"
    )
    parser.add_argument("--markdown", metavar="FILE.md", help="write the tables as Markdown")
    parser.add_argument(
        "--metric",
        metavar="METRIC",
        help="metric to sort by and to test (default: the first that all results have)",
    )
    parser.add_argument("--title", default=TITLE, help="the heading (default: %(default)s)")
    add_overwrite_option(parser, "the files")
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads the entries, and prints or writes their report."""
    check_places(args, files=[(args.html, PAGES), (args.markdown, (".md", ".markdown"))])
    entries = recae.report.load_entries(args.folder)
    written = [path for path in (args.html, args.markdown) if path]
    if args.html:
        recae.report.html(
            entries,
            args.html,
            metric=args.metric,
            title=args.title,
            overwrite=args.overwrite,
        )
    if args.markdown or not args.html:
        text = recae.report.markdown(entries, metric=args.metric, title=args.title)
    if args.markdown:
        with atomic_file(args.markdown, overwrite=args.overwrite) as part:
            part.write_text(text, encoding="utf-8")
    if written:
        content = {"entries": [entry.name for entry in entries], "paths": written}
        output.done(f"wrote {len(entries)} models to {' and '.join(written)}", content)
    else:
        output.result(text.rstrip(), {entry.name: _told(entry) for entry in entries})


def _told(entry: recae.report.Entry) -> dict[str, Any]:
    """An entry for JSON."""
    return {
        "reports": [report.summary() for report in entry.reports],
        "fit_seconds": list(entry.fit_seconds),
        "tuning_seconds": entry.tuning_seconds,
        "peak_gb": entry.peak_gb,
    }
