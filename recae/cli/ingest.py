"""Write a table of any size into a data folder, which all commands read at once.

The table may be larger than memory. Its rows are checked, merged and sorted once, in bounded memory
and with the same result as if they were read anew. Every command that takes a table takes the
folder instead, and maps it into memory. After an interruption the same command goes on.

examples:
  recae ingest plays/ DATA --memory 4GB
  recae fit DATA model --model ease
  recae export model top.parquet --history DATA
"""

from __future__ import annotations

import argparse
import time

import recae
from recae.cli.options import add_output_options, add_table_options, table_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae ingest`."""
    parser.add_argument("table", metavar="FILE", nargs="+", help="tables, or folders of them")
    parser.add_argument("out", metavar="DATA", help="the data folder to make")
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="memory that the work takes at most, such as 4GB (default: half of what is free)",
    )
    add_overwrite_option(parser, "a data folder")
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads, sorts and writes."""
    inputs = [None if path == "-" else path for path in args.table]
    check_places(args, folders=[args.out], inputs=inputs)
    started = time.perf_counter()
    data = recae.ingest(
        args.table[0] if len(args.table) == 1 else args.table,
        args.out,
        **table_options(args),
        memory=args.memory,
        overwrite=args.overwrite,
        progress=output.progress,
    )
    seconds = time.perf_counter() - started
    facts = {
        "path": args.out,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": data.nnz,
        "fingerprint": data.fingerprint(),
        "seconds": seconds,
    }
    output.done(f"wrote {data} to {args.out} in {seconds:.1f} s", facts)
