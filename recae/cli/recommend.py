"""Print the best items for known or new users.

A user is a history: pass a table of histories (--history), or the items of one new user (--items).
A model saved with --with-history also recommends for its training users, by their ids. Items of a
history are not recommended again.

examples:
  recae recommend model --items 1,2,3
  recae recommend model --history new_users.parquet --users 7,8 -k 5
"""

from __future__ import annotations

import argparse

import pandas as pd

import recae
from recae.cli.options import (
    add_output_options,
    add_table_options,
    add_user_options,
    check_writable,
    names,
    typed_ids,
    users_and_history,
)
from recae.cli.output import Output
from recae.data import ItemTable
from recae.errors import ConfigError
from recae.system.files import atomic_file


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae recommend`."""
    source = add_user_options(parser)
    source.add_argument(
        "--items", type=names, metavar="IDS", help="the items of one new user, with commas"
    )
    parser.add_argument(
        "-k", type=int, default=10, help="items for each user, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--titles", metavar="FILE", help="a table with more about the items, in the --item column"
    )
    parser.add_argument(
        "--title-column",
        default="title",
        metavar="COLUMN",
        help="the column of it to show (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE.csv", help="write a CSV file instead of printing")
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, recommends and prints or writes."""
    check_writable(args.out)
    model = recae.load(args.model, recae.Recommender)
    titles = ItemTable(args.titles, id_column=args.item) if args.titles else None
    if titles is not None:  # mistakes in the table are found before any ranking
        titles.column(args.title_column), titles.places([])
    if args.items and args.users:
        raise ConfigError("--items is one new user's history: leave --users out")
    if args.items:
        history = pd.DataFrame({"user_id": "new", "item_id": typed_ids(args.items, model.items_)})
        frame = model.recommend(k=args.k, history=history, on_unknown=args.on_unknown)
    else:
        users, interactions = users_and_history(args, model, output)
        frame = model.recommend(users, args.k, history=interactions, on_unknown=args.on_unknown)
    if titles is not None:
        frame[args.title_column] = titles.texts(frame["item_id"], args.title_column, missing="")
    if args.out:
        with atomic_file(args.out) as part:
            frame.to_csv(part, index=False)
        written = {"path": args.out, "rows": len(frame), "k": args.k}
        output.done(f"wrote {len(frame):,} rows to {args.out}", written)
    else:
        output.result(_readable(frame), frame.to_dict("records"))


def _readable(frame: pd.DataFrame) -> str:
    """The frame as a text table, the rank before the item and titles flush left."""
    if frame.empty:
        return "nothing to recommend"
    ordered = frame[["user_id", "rank", "item_id", "score", *frame.columns[4:]]].copy()
    for column in frame.columns[4:]:
        texts = pd.concat([pd.Series([column]), ordered.pop(column)]).str
        width = int(texts.len().max())
        padded = texts.ljust(width)
        ordered[padded.iloc[0]] = padded.iloc[1:]
    return ordered.to_string(index=False, float_format="%.4f")
