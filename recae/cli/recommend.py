"""Print the best items for known or new users.

A user is a history: pass a table of histories (--history), or the items of one new user (--liked).
A model saved with --with-history also recommends for its training users, by their ids. Items of a
history are not recommended again.

examples:
  recae recommend model --liked 1,2,3
  recae recommend model --liked 1,2,3 --exclude-items 8,9 --titles movies.csv
  recae recommend model --history new_users.parquet --users 7,8 -k 5
"""

from __future__ import annotations

import argparse

import pandas as pd

import recae
from recae.cli.options import add_output_options, add_table_options, names
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places, write_frame
from recae.cli.requests import (
    add_item_options,
    add_user_options,
    id_files,
    item_options,
    read_titles,
    typed_ids,
    users_and_history,
)
from recae.errors import ConfigError
from recae.system.files import TABLES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae recommend`."""
    source = add_user_options(parser)
    source.add_argument(
        "--liked", type=names, metavar="IDS", help="the items of one new user, with commas"
    )
    parser.add_argument(
        "-k", type=int, default=10, help="items for each user, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write a .csv or .parquet file instead of printing"
    )
    add_overwrite_option(parser, "the file")
    add_item_options(parser)
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, recommends and prints or writes."""
    check_places(
        args,
        files=[(args.out, (".csv", *TABLES))],
        inputs=[args.model, *(args.history or ()), *id_files(args), args.titles],
    )
    model = recae.load(args.model, recae.Recommender)
    titles = read_titles(args, model.items_)
    rules = item_options(args, model)
    if args.liked and (args.users or args.users_file):
        raise ConfigError("--liked is one new user's history: leave --users out")
    if args.liked:
        liked = typed_ids(args.liked, model.items_)
        history = {"new": liked}
        frame = model.recommend(k=args.k, history=history, on_unknown=args.on_unknown, **rules)
    else:
        users, given = users_and_history(args, model, output)
        frame = model.recommend(users, args.k, history=given, on_unknown=args.on_unknown, **rules)
    if titles is not None:
        frame["title"] = titles.texts(frame["item_id"], args.title_column, missing="")
    if args.out:
        write_frame(args.out, frame, args.overwrite)
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
