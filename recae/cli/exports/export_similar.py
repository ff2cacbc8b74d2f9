"""Write the items most similar to each item: a folder or a Parquet file.

OUT is one file if it ends in .parquet or .pq, and a folder of Parquet files otherwise, which the
same command resumes after an interruption, as with `recae export`. The columns are item_id,
similar_item_id, score and rank, and with --titles also title, that of the similar item.

example:
  recae export-similar model similar -k 20
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

import recae
from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places
from recae.cli.requests import (
    add_only_items,
    add_title_options,
    id_files,
    only_items,
    read_titles,
)
from recae.recommend.export.run import check_place, is_file
from recae.recommend.rules.lists import UNKNOWN_ITEMS
from recae.system.files import TABLES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae export-similar`."""
    parser.set_defaults(user="user_id", users_file=None, history=None)  # there are no users
    parser.add_argument("model", metavar="MODEL", help="a directory that `recae fit` wrote")
    parser.add_argument("out", metavar="OUT", help="the folder or the .parquet file to write")
    parser.add_argument(
        "-k", type=int, default=100, help="similar items of each, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="of a file: keep the lists so far there; after an interruption the same command "
        "resumes from it; deleted once the file is complete",
    )
    add_overwrite_option(parser, "the file or folder")
    group = parser.add_argument_group("items")
    add_only_items(group, "list only these, such as those in stock")
    group.add_argument(
        "--on-unknown-items",
        choices=UNKNOWN_ITEMS,
        default="ignore",
        help="items that the model does not know: ignore them with a warning, or reject them "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--item",
        default="item_id",
        metavar="COLUMN",
        help="the column of ids in these tables (default: %(default)s)",
    )
    add_title_options(group)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, compares and writes."""
    one_file = is_file(args.out)
    check_places(
        args,
        files=[(args.out, TABLES)] if one_file else [],
        folders=[args.checkpoint, None if one_file else args.out],
        inputs=[args.model, *id_files(args), args.titles],
    )
    check_place(args.out, args.checkpoint, overwrite=args.overwrite)
    model = recae.load(args.model, recae.Recommender)
    titles = read_titles(args, model.items_)
    started = time.perf_counter()
    rows = model.export_similar(
        args.out,
        args.k,
        items=only_items(args, model),
        on_unknown_items=args.on_unknown_items,
        titles=titles and pd.Series(titles.column(args.title_column).to_numpy(), titles.ids),
        progress=output.progress,
        checkpoint=args.checkpoint,
        overwrite=args.overwrite,
    )
    seconds = time.perf_counter() - started
    written = {"path": args.out, "rows": rows, "k": args.k, "seconds": seconds}
    output.done(f"wrote {rows:,} rows to {args.out} in {seconds:.1f} s", written)
