"""Draw the items or the users of a model as points in the plane, as a picture or a page.

OUT ends in .html (one self-contained page that can be zoomed and searched) or in .png. Items that
the same users like are near each other. With --users the points are users, placed by their
histories: those saved with the model, or those of --history.

examples:
  recae map model map.html --titles movies.parquet
  recae map model users.png --users --history plays.parquet --about users.csv --colour age
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

import recae
from recae.apply.maps.points import METHODS
from recae.cli.options import (
    add_output_options,
    add_table_options,
    read_interactions,
)
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places
from recae.cli.requests import add_title_options, title_table
from recae.data import IdMap
from recae.errors import ConfigError, DataError, unknown_option
from recae.system.files import PAGES, PICTURES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae map`."""
    parser.add_argument("model", metavar="MODEL", help="a directory that `recae fit` wrote")
    parser.add_argument("out", metavar="OUT", help="the .html or .png to write")
    add_title_options(
        parser, "a table of items: the --item column, titles, and others to colour by, as genres"
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="tsne",
        help="how to draw (default: %(default)s)",
    )
    parser.add_argument("--colour", metavar="NAME", help="column to colour by (default: labels)")
    parser.add_argument(
        "--labels",
        type=int,
        default=20,
        help="largest number of names in a picture (default: %(default)s)",
    )
    parser.add_argument(
        "--least",
        type=int,
        metavar="N",
        help="leave out items of fewer than N users (default: 10), or users of fewer than N items "
        "(default: 5)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    add_overwrite_option(parser, "the file")
    group = parser.add_argument_group("maps of users")
    group.add_argument("--users", action="store_true", help="draw users, not items")
    group.add_argument("--history", metavar="FILE", help="the table of the users' histories")
    group.add_argument(
        "--about", metavar="FILE", help="a table of users: the --user column, others"
    )
    add_table_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads, draws and writes."""
    if not args.users and (args.history or args.about):
        raise ConfigError("--history and --about are for maps of users: pass --users too")
    check_places(
        args,
        files=[(args.out, (*PAGES, *PICTURES))],
        inputs=[args.model, args.titles, args.history, args.about],
    )
    model = recae.load(args.model)
    known = model.items_ if args.title_id is None else None
    column = args.title_id or args.item
    titles = _table(
        args.titles, column, "item_id", args.title_column, known, encoding=args.title_encoding
    )
    about = _table(args.about, args.user, "user_id", "title")
    _check_colour(args, titles, about)
    options: dict[str, Any] = {
        "method": args.method,
        "seed": args.seed,
        "progress": output.progress,
    }
    least = "min_items" if args.users else "min_users"
    if args.least is not None:
        options[least] = args.least
    history = None
    if args.history:
        history = read_interactions(args.history, args, output, model.items_)
    try:
        if args.users:
            drawn = recae.apply.maps.map_users(model, history, about, titles=titles, **options)
        else:
            drawn = recae.apply.maps.map_items(model, titles, **options)
    except (ConfigError, DataError) as error:
        raise type(error)(str(error).replace(least, "--least")) from error
    if Path(args.out).suffix.lower() in PAGES:
        drawn.html(args.out, colour=args.colour, overwrite=args.overwrite)
    else:
        drawn.plot(args.out, colour=args.colour, labels=args.labels, overwrite=args.overwrite)
    trust = float(drawn.provenance["trustworthiness"])
    written = {
        "path": args.out,
        "points": len(drawn.ids),
        "trustworthiness": trust,
        "neighbours": drawn.provenance["neighbours"],
        "left_out": drawn.provenance["left_out"],
    }
    output.done(
        f"wrote {len(drawn.ids):,} {drawn.what}s to {args.out}; trustworthiness {trust:.3f}",
        written,
    )


def _check_colour(args: argparse.Namespace, titles: Any, about: Any) -> None:
    """Raises ConfigError for an unknown colour, before the map is made."""
    tables = [table for table in (titles, about) if table is not None]
    known = {str(name) for table in tables for name in table.columns}
    known = known - {"item_id", "user_id", "title"} | {"items" if args.users else "users"}
    if args.colour is not None and args.colour not in known:
        raise unknown_option("colour", args.colour, known)


def _table(
    path: str | None,
    column: str,
    name: str,
    title: str | None,
    known: IdMap | None = None,
    encoding: str | None = None,
) -> Any:
    """Reads a table and renames its columns of ids and titles to those that maps expect.

    Without the name of a column of titles it is found, if there is one.
    """
    if path is None:
        return None
    table = title_table(path, encoding, id_column=column, known=known)
    found = table.columns
    if title is None:
        title = "title"
        with suppress(DataError):
            title = table.title_column()
    if title != "title":
        found = found.assign(title=table.column(title)).drop(columns=title)
    return found.assign(**{name: table.ids})
