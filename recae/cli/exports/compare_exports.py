"""Compare two exports: overlap, rank correlation, coverage, and whose lists changed most.

BEFORE and AFTER are what `recae export` wrote: folders or Parquet files. They are read side by
side, in little memory.

example:
  recae compare-exports lists-monday lists-tuesday --titles items.csv
"""

from __future__ import annotations

import argparse

import pandas as pd

import recae
from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.requests import add_title_options, read_titles


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae compare-exports`."""
    parser.add_argument("before", metavar="BEFORE", help="an export: a folder or a .parquet file")
    parser.add_argument("after", metavar="AFTER", help="another one, of the same kind of ids")
    parser.add_argument(
        "-k", type=int, help="places to compare (default: all that both exports have)"
    )
    parser.add_argument(
        "--most",
        type=int,
        default=10,
        metavar="N",
        help="show the N users whose lists changed most (default: %(default)s)",
    )
    parser.add_argument(
        "--item", default="item_id", metavar="COLUMN", help="of ids in the table of --titles"
    )
    add_title_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads both and prints the comparison."""
    titles = read_titles(args)
    found = recae.compare_exports(
        args.before,
        args.after,
        args.k,
        most=args.most,
        titles=titles and pd.Series(titles.column(args.title_column).to_numpy(), titles.ids),
        progress=output.progress,
    )
    output.result(found.to_text(), found.to_dict())
