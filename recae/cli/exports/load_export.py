"""Load an export into a database: DuckDB, PostgreSQL or Redis.

EXPORT is what `recae export` wrote. It is verified first. Its rows are loaded beside those of an
earlier load, counted, and put in their place at once; a command that fails or is killed changes
nothing. Targets:
  duckdb:shop.duckdb?table=lists
  postgresql://user@host/shop?table=lists
  redis://host:6379/0
A password may stay out of the command: PostgreSQL reads ~/.pgpass and PGPASSWORD. docs/databases.md
has more.

example:
  recae load-export lists "postgresql://loader@db.example/shop?table=lists" --overwrite
"""

from __future__ import annotations

import argparse
import time

from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option
from recae.scale.databases import load_export


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae load-export`."""
    parser.add_argument("export", metavar="EXPORT", help="a folder or file of `recae export`")
    parser.add_argument("target", metavar="TARGET", help="the database, as a URL")
    add_overwrite_option(parser, "the lists of an earlier load")
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Verifies and loads."""
    started = time.perf_counter()
    rows = load_export(args.export, args.target, overwrite=args.overwrite, progress=output.progress)
    seconds = time.perf_counter() - started
    output.done(f"loaded {rows:,} rows in {seconds:.1f} s", {"rows": rows, "seconds": seconds})
