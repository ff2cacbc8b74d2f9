"""The options of `recommend` and `export` that select users."""

from __future__ import annotations

import argparse
from typing import Any

import recae
from recae.cli.options import names, read_interactions, typed_ids
from recae.cli.output import Output
from recae.errors import ConfigError
from recae.recommend.requests import UNKNOWN


def add_options(parser: argparse.ArgumentParser) -> Any:
    """Declares the model and its users; returns the group of options that name a history."""
    parser.add_argument("model", metavar="MODEL", help="a directory that `recae fit` wrote")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--history", metavar="FILE", help="the table of the users' histories")
    parser.add_argument(
        "--users", type=names, metavar="IDS", help="only these users, with commas (default: all)"
    )
    parser.add_argument(
        "--on-unknown",
        choices=UNKNOWN,
        default="raise",
        help="users without a known history: reject them, skip them with a warning, or "
        "give them the most popular items (default: %(default)s)",
    )
    return source


def users_and_history(
    args: argparse.Namespace, model: recae.Recommender, output: Output
) -> tuple[list[Any] | None, recae.Interactions | None]:
    """The requested users (None: all) and their histories (None: those saved with the model)."""
    history = read_interactions(args.history, args, output) if args.history else None
    known = model.history_ if history is None else history
    if known is None:
        raise ConfigError(
            f"{args.model} was saved without its interactions: pass --history FILE, or fit it "
            "with --with-history"
        )
    return (typed_ids(args.users, known.users) if args.users else None), history
