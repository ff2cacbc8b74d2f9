"""Print why items are recommended: what each item of a history adds to their scores.

A user is a history: pass a table of histories (--history), or the items of one new user (--liked).
A model saved with --with-history also explains for its training users, by their ids. Without
--items the 10 best items of each user are explained. A negative contribution lowers the score.

examples:
  recae explain model --liked 1,2,3
  recae explain model --liked 1,2,3 --items 8,9 --top 3 --titles movies.csv
  recae explain model --history new_users.parquet --users 7,8 --out why.csv
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import recae
from recae.cli.options import add_output_options, add_table_options, names
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places, write_frame
from recae.cli.requests import (
    add_history_options,
    add_only_items,
    add_title_options,
    id_files,
    only_items,
    read_titles,
    typed_ids,
    users_and_history,
)
from recae.data import ItemTable
from recae.errors import ConfigError
from recae.system.files import TABLES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae explain`."""
    source = add_history_options(parser)
    source.add_argument(
        "--liked", type=names, metavar="IDS", help="the items of one new user, with commas"
    )
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        help="items of the history listed for each explained item (default: %(default)s)",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write a .csv or .parquet file instead of printing"
    )
    add_overwrite_option(parser, "the file")
    group = parser.add_argument_group("items")
    add_only_items(group, "explain these (default: the 10 best of each user)")
    add_title_options(group)
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, explains and prints or writes."""
    check_places(
        args,
        files=[(args.out, (".csv", *TABLES))],
        inputs=[args.model, *(args.history or ()), *id_files(args), args.titles],
    )
    model = recae.load(args.model, recae.Recommender)
    titles = read_titles(args, model.items_)
    items = only_items(args, model)
    if args.liked and (args.users or args.users_file):
        raise ConfigError("--liked is one new user's history: leave --users out")
    history: Any
    if args.liked:
        liked = typed_ids(args.liked, model.items_)
        history = {"new": liked}
    else:
        users, given = users_and_history(args, model, output)
        history = model.history_ if given is None else given
        if users is not None:
            codes = history.users.encode(users)
            history = history.select_users(codes[np.sort(np.unique(codes, return_index=True)[1])])
    why = model.explain(history, items, args.top)
    if titles is not None:
        texts = titles.column(args.title_column).to_numpy(dtype=object)
        why = why.with_titles(ItemTable(pd.Series(texts, index=titles.ids)))
    frame = why.to_frame()
    if args.out:
        write_frame(args.out, frame, args.overwrite)
        written = {"path": args.out, "rows": len(frame), "method": why.method}
        output.done(f"wrote {len(frame):,} rows to {args.out}", written)
    else:
        text = why.to_text() if len(why.totals) else "nothing to explain"
        output.result(text, {"method": why.method, "reasons": frame.to_dict("records")})
