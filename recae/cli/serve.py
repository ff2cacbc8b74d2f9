"""Answer recommendations over HTTP, from one model or several side by side.

MODEL is a folder that `recae fit` wrote, or NAME=FOLDER; the name is that of the folder otherwise.
The first model is the default. A folder that is replaced, or a link that moves, is loaded again
within two seconds, without a lost request. SIGTERM or Ctrl-C ends the service: it finishes the
requests it has, and the exit code is 0.

The bearer token is read from the environment variable RECAE_TOKEN; without one the service stays on
loopback addresses. A line of JSON for each request goes to stdout, without data of users.

examples:
  recae serve model
  recae serve films=model --store parquet:plays.parquet --titles movies.parquet --workers 2
  recae serve now=model new=candidate --challenger new=0.1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import recae.serve
from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.requests import add_title_options, read_titles
from recae.errors import ConfigError, StorageError
from recae.serve import Settings, Shelf, open_store

LIMITS = ("max_k", "max_history", "max_batch", "waiting", "timeout", "batch_wait")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae serve`."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help="a folder, or NAME=FOLDER")
    parser.add_argument("--host", default="127.0.0.1", help="(default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--store", metavar="URL", help="where the histories of users are: parquet:FILE, "
        "duckdb:FILE, redis://..., postgresql://..."
    )  # fmt: skip
    parser.add_argument("--item", default="item_id", metavar="COLUMN", help="the ids in --titles "
                        "(default: %(default)s)")  # fmt: skip
    add_title_options(parser, "a table of items and their titles")
    parser.add_argument(
        "--challenger", action="append", default=[], metavar="NAME=SHARE",
        help="the share of users whom this model answers, by their ids; may be repeated",
    )  # fmt: skip
    parser.add_argument("--no-log", action="store_true", help="no line for each request")
    group = parser.add_argument_group("limits")
    default = Settings()
    for name, meaning in {
        "max_k": "items of a list",
        "max_history": "items of a history",
        "max_batch": "users of a batch",
        "waiting": "requests that may wait in a worker; more get 429",
        "timeout": "seconds until a request is refused",
        "batch_wait": "seconds in which requests are collected to be ranked together",
    }.items():
        value = getattr(default, name)
        group.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, metavar="N",
            help=f"{meaning} (default: %(default)s)",
        )  # fmt: skip
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads the models, and serves until a signal comes."""
    server = recae.serve.part("run")
    settings = Settings.from_environment(**{name: getattr(args, name) for name in LIMITS})
    shelf = shelf_of(args)
    store = None if args.store is None else open_store(args.store)
    if fault := getattr(store, "fault", ""):
        output.note(f"users cannot be looked up yet: {fault}. The store is asked again when needed")
    names = ", ".join(shelf.names())

    def started(address: str) -> None:
        output.note(f"serving {names} at {address}; Ctrl-C ends it")

    try:
        code = server.run(
            shelf, host=args.host, port=args.port, workers=args.workers, store=store,
            settings=settings, log=None if args.no_log else 1, started=started,
        )  # fmt: skip
    finally:
        if store is not None:
            store.close()
    if code:
        raise StorageError("the service ended before all requests had their answer")


def shelf_of(args: argparse.Namespace) -> Shelf:
    """The models, with their titles."""
    shelf = Shelf(places(args.models), shares=shares(args.challenger))
    titles = read_titles(args, shelf.get().model.items_)
    if titles is not None:
        column, facts = args.title_column, titles.columns
        if column != "title":
            facts = facts.drop(columns="title", errors="ignore").rename(columns={column: "title"})
        shelf.give_titles(facts.assign(item_id=titles.ids))
    return shelf


def places(given: Iterable[str]) -> dict[str, Path]:
    """Name -> folder. Raises ConfigError for a name that is used twice."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).resolve().name, text
            if Path(text).is_symlink():
                name = Path(text).name
        if name in found:
            raise ConfigError(
                f"two models are named {name}: write NAME=FOLDER", parameter="models", value=text
            )
        found[name] = Path(path)
    return found


def shares(given: Iterable[str]) -> dict[str, float]:
    """Name -> share. Raises ConfigError for what is no NAME=SHARE."""
    found: dict[str, float] = {}
    for text in given:
        name, _, share = text.partition("=")
        try:
            number = float(share)
        except ValueError:
            number = float("nan")
        if number != number or name in found:
            raise ConfigError(
                f"--challenger must be NAME=SHARE, such as new=0.1, once for each name, not {text}",
                parameter="challenger",
                value=text,
            )
        found[name] = number
    return found
