"""For whom a command recommends and what: options of users, items and titles, and their readers."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import recae
from recae.cli.options import names, read_interactions
from recae.cli.output import Output
from recae.data import IdMap, ItemTable
from recae.errors import ConfigError, DataError
from recae.recommend.requests import UNKNOWN
from recae.recommend.rules import Rules
from recae.recommend.rules.lists import UNKNOWN_ITEMS


def add_user_options(parser: argparse.ArgumentParser) -> Any:
    """Declares the model, its users and what strangers get; returns the group of options that name
    a history."""
    source = add_history_options(parser)
    parser.add_argument(
        "--on-unknown",
        choices=UNKNOWN,
        default="raise",
        help="users without a known history: reject them, skip them with a warning, or "
        "give them the most popular items (default: %(default)s)",
    )
    return source


def add_history_options(parser: argparse.ArgumentParser) -> Any:
    """Declares the model and its users; returns the group of options that name a history."""
    parser.add_argument("model", metavar="MODEL", help="a directory that `recae fit` wrote")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--history",
        metavar="FILE",
        action="append",
        help="a table of the users' histories, a folder of them, or a data folder of `recae "
        "ingest`; may be repeated",
    )
    users = parser.add_mutually_exclusive_group()
    users.add_argument(
        "--users", type=names, metavar="IDS", help="only these users, with commas (default: all)"
    )
    users.add_argument("--users-file", metavar="FILE", help=_file("users", "--user"))
    return source


def add_only_items(group: Any, what: str) -> None:
    """Declares a list of items and a file of them."""
    only = group.add_mutually_exclusive_group()
    only.add_argument("--items", type=names, metavar="IDS", help=what)
    only.add_argument("--items-file", metavar="FILE", help=_file("items", "--item"))


def add_item_options(parser: argparse.ArgumentParser) -> None:
    """Declares which items may be recommended, and their titles."""
    group = parser.add_argument_group("items")
    add_only_items(group, "recommend only these, such as those in stock")
    never = group.add_mutually_exclusive_group()
    never.add_argument("--exclude-items", type=names, metavar="IDS", help="never recommend these")
    never.add_argument("--exclude-items-file", metavar="FILE", help=_file("items", "--item"))
    group.add_argument(
        "--on-unknown-items",
        choices=UNKNOWN_ITEMS,
        default="ignore",
        help="items in these lists that the model does not know: ignore them with a warning, or "
        "reject them (default: %(default)s)",
    )
    group.add_argument(
        "--no-exclude-seen",
        dest="exclude_seen",
        action="store_false",
        help="recommend the items of the history too",
    )
    group.add_argument(
        "--rules",
        metavar="FILE",
        help="business rules as a JSON object, see docs/rules.md; categories and dates are in the "
        "table of --titles",
    )
    add_title_options(group)


def add_title_options(
    group: Any, what: str = "a table with more about the items, in the --item column"
) -> None:
    """Declares the table of items and the column of their titles."""
    group.add_argument(
        "--titles",
        "--items-table",
        metavar="FILE",
        help=what,
    )
    group.add_argument(
        "--title-column",
        metavar="COLUMN",
        help="the column of it to show (default: title, or the column that looks like titles)",
    )
    group.add_argument(
        "--title-id",
        metavar="COLUMN",
        help="the column of ids in it (default: that of --item, or the one that has these ids)",
    )
    group.add_argument(
        "--title-encoding",
        metavar="NAME",
        help="the encoding of that table, such as cp1252 (default: UTF-8, or UTF-16 by its mark)",
    )


def _file(what: str, column: str) -> str:
    return (
        f"the {what} in a file: one id a line, or the column {column} of a table; - reads them "
        "from stdin"
    )


def item_options(args: argparse.Namespace, model: recae.Recommender) -> dict[str, Any]:
    """The arguments of `recommend` and `export` that say which items may come."""
    options = {
        "items": only_items(args, model),
        "exclude_seen": args.exclude_seen,
        "on_unknown_items": args.on_unknown_items,
        "exclude_items": _ids(args.exclude_items, args.exclude_items_file, args.item, model.items_),
        "rules": _rules(args, model.items_),
    }
    return options


def _rules(args: argparse.Namespace, items: IdMap) -> Rules | None:
    """The rules of --rules, with the table of --titles."""
    if args.rules is None:
        return None
    try:
        given = json.loads(Path(args.rules).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"--rules {args.rules} cannot be read as JSON: {error}") from None
    table = None
    if args.titles is not None:
        table = _item_table(args, items)
    return Rules.from_json(given, table)


def only_items(args: argparse.Namespace, model: recae.Recommender) -> Any:
    """The ids of --items or --items-file; None without either."""
    _check_columns(args)
    return _ids(args.items, args.items_file, args.item, model.items_)


def id_files(args: argparse.Namespace) -> list[str | None]:
    """The files of ids that a command reads."""
    files = (args.users_file, args.items_file, getattr(args, "exclude_items_file", None))
    return [None if file == "-" else file for file in files]


def _history(
    args: argparse.Namespace, model: recae.Recommender, output: Output
) -> recae.Interactions | None:
    """The table of --history, with ids of items like those of the model."""
    if not args.history:
        return None
    everybody = args.users is None and args.users_file is None
    return read_interactions(args.history, args, output, model.items_, verify=everybody)


def _check_columns(args: argparse.Namespace) -> None:
    """Names of columns without a table: whoever writes --user 7 wants the user, not everybody."""
    for name, default, files, meant in (
        ("user", "user_id", [args.users_file], "users"),
        ("item", "item_id", [*id_files(args)[1:], args.titles], "items"),
    ):
        column = getattr(args, name)
        if column != default and not args.history and not any(files):
            raise ConfigError(
                f"--{name} {column} names a column of a table, and none is read: to name "
                f"{meant}, write --{meant} {column}"
            )


def users_and_history(
    args: argparse.Namespace, model: recae.Recommender, output: Output
) -> tuple[Any, recae.Interactions | None]:
    """The requested users (None: all) and their histories (None: those saved with the model)."""
    history = _history(args, model, output)
    known = model.history_ if history is None else history
    if known is None:
        raise ConfigError(
            f"{args.model} was saved without its interactions: pass --history FILE, "
            f"{'--liked IDS, ' if hasattr(args, 'liked') else ''}or fit it with --with-history"
        )
    return _ids(args.users, args.users_file, args.user, known.users), history


def read_titles(args: argparse.Namespace, items: IdMap | None = None) -> ItemTable | None:
    """The table of --titles; mistakes in it are found at once. Without --title-column its column
    of titles is found, and set as that argument.

    items: those of a model, whose kind the ids of a text file have then.
    """
    if args.titles is None:
        if args.title_column is not None:
            raise ConfigError("--title-column names a column of the table --titles: pass that too")
        return None
    table = _item_table(args, items)
    args.title_column = args.title_column or table.title_column()
    table.column(args.title_column)
    try:
        table.places([] if items is None else items, required=True)
    except DataError as error:
        message = str(error).removeprefix(f"{args.titles}: ")
        raise DataError(
            f"{args.titles}: {message} The column of ids is named with title_id="
        ) from None
    return table


def _item_table(args: argparse.Namespace, items: IdMap | None) -> ItemTable:
    """The table of --titles. Without --title-id the column of ids may have any name."""
    kind = "text" if items is not None and items.kind == "str" else "auto"
    known = items if args.title_id is None else None
    column = args.title_id or args.item
    return title_table(args.titles, args.title_encoding, id_column=column, ids=kind, known=known)


def title_table(path: str, encoding: str | None, **options: Any) -> ItemTable:
    """A table of --titles in the encoding of --title-encoding, which messages then name."""
    try:
        return ItemTable(path, encoding=encoding, **options)
    except DataError as error:
        message = str(error).replace("encoding=", "title_encoding=")
        raise DataError(message, parameter=error.parameter) from None


def typed_ids(texts: list[str], known: IdMap) -> list[Any]:
    """Ids typed on the command line, as integers where the known ones are. Raises ConfigError, also
    for the name of a file."""
    for text in texts:
        there = Path(text).suffix and Path(text).is_file()
        if there and (known.kind != "str" or text not in known):
            raise ConfigError(
                f"{text!r} is a file, and ids of {known.what}s are expected here, with commas: a "
                "file of ids is read with --users-file, --items-file or --exclude-items-file, and "
                "a table with titles with --titles"
            )
    if known.kind == "str":
        return list(texts)
    wrong = [text for text in texts if not re.fullmatch("-?[0-9]+", text)]
    if wrong:
        raise ConfigError(f"{known.what} ids are integers here; {wrong[0]!r} is not one")
    return [int(text) for text in texts]


def _ids(texts: list[str] | None, file: str | None, column: str, known: IdMap) -> Any:
    """Ids from an option or from a file, of the kind of the known ones; None without either."""
    if file is None:
        return None if texts is None else typed_ids(texts, known)
    if file != "-" and Path(file).suffix.lower() in (".parquet", ".pq"):
        found = ItemTable(file, what=known.what, id_column=column).ids
        return pd.unique(found)
    lines = [line.strip() for line in _text(file).splitlines()]
    lines = [line for line in lines if line]
    if lines and column in re.split("[,;\t|]", lines[0].replace('"', "")):
        header = re.split("[,;\t|]", lines[0])
        if len(header) > 1 and file != "-":
            return pd.unique(ItemTable(file, what=known.what, id_column=column).ids)
        lines = lines[1:]
    if not lines:
        raise DataError(f"{file} holds no {known.what} ids")
    try:
        return typed_ids(list(dict.fromkeys(line.strip('"') for line in lines)), known)
    except ConfigError as error:
        raise DataError(f"{file}: {error}; it needs one id a line, or a column {column}") from error


def _text(file: str) -> str:
    """The content of a text file, or of stdin."""
    try:
        if file == "-":
            return sys.stdin.read()
        return Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8: name a text file or a .parquet") from error
