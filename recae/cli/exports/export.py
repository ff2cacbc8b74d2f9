"""Write the top k of every user to Parquet: a folder of parts, or one file.

OUT is one file if it ends in .parquet or .pq, and a folder of Parquet files otherwise. A folder is
resumed by the same command after an interruption, part by part; a file only with --checkpoint. The
columns are user_id, item_id, score and rank, and with --titles also title. A folder has the marker
_SUCCESS, and a manifest with counts and checksums, when it is complete.

examples:
  recae export model top --history plays.parquet -k 100 --dry-run
  recae export model top --history plays.parquet -k 100
  recae export model top-tuesday --history plays.parquet -k 100 --since top-monday
  recae export model top.parquet --history plays.parquet -k 100
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import pandas as pd

import recae
from recae.cli.options import add_output_options, add_table_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places
from recae.cli.requests import (
    add_item_options,
    add_user_options,
    id_files,
    item_options,
    read_titles,
    users_and_history,
)
from recae.recommend.export.run import check_place, is_file
from recae.system.files import TABLES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae export`."""
    add_user_options(parser)
    parser.add_argument("out", metavar="OUT", help="the folder or the .parquet file to write")
    parser.add_argument(
        "-k", type=int, default=100, help="items for each user, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="of a file: keep the lists so far there; after an interruption the same command "
        "resumes from it; deleted once the file is complete",
    )
    parser.add_argument(
        "--since",
        metavar="EXPORT",
        help="a folder that this command wrote earlier with the same model and options: only users "
        "whose history has changed are ranked, and the lists of the others are taken over",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="where a neural model ranks: cpu, cuda, cuda:1 or auto (default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing; print how many seconds, bytes on disk and memory the export takes, "
        "forecast from a sample of users",
    )
    add_overwrite_option(parser, "the file or folder")
    add_item_options(parser)
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, ranks and writes."""
    began, one_file = time.perf_counter(), is_file(args.out)
    check_places(
        args,
        files=[(args.out, TABLES)] if one_file else [],
        folders=[args.checkpoint, None if one_file else args.out],
        inputs=[args.model, *(args.history or ()), *id_files(args), args.titles, args.since],
    )
    check_place(args.out, args.checkpoint, overwrite=args.overwrite)
    model = recae.load(args.model, recae.Recommender).to(args.device)
    titles, rules = read_titles(args, model.items_), item_options(args, model)
    users, history = users_and_history(args, model, output)
    options: dict[str, Any] = dict(
        k=args.k,
        users=users,
        on_unknown=args.on_unknown,
        titles=titles and pd.Series(titles.column(args.title_column).to_numpy(), titles.ids),
        **rules,
        progress=output.progress,
        checkpoint=args.checkpoint,
        overwrite=args.overwrite,
        since=args.since,
    )
    reading, started = time.perf_counter() - began, time.perf_counter()
    if args.dry_run:
        forecast = model.export(args.out, history, **options, dry_run=True)
        told = {"path": args.out, "reading_seconds": reading, **vars(forecast)}
        told["users_per_second"] = forecast.users_per_second
        output.result(f"{forecast}\nto load and read what it needs took {reading:.1f} s", told)
        return
    rows = model.export(args.out, history, **options)
    seconds = time.perf_counter() - started
    written = {"path": args.out, "rows": rows, "k": args.k, "seconds": seconds}
    output.done(f"wrote {rows:,} rows to {args.out} in {seconds:.1f} s", written)
