"""Options that several commands share, and functions that read them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import recae
from recae.cli.output import Output
from recae.data import IdMap
from recae.data.tables.columns import DUPLICATES
from recae.data.tables.files import READERS
from recae.errors import ConfigError, StorageError
from recae.estimators.saved import CONFIG
from recae.recommend.requests import UNKNOWN


def add_table_options(parser: argparse.ArgumentParser, *, filters: bool = False) -> None:
    """How to read a table of interactions, and with `filters` those of users and items."""
    group = parser.add_argument_group(f"the table ({', '.join(READERS)})")
    columns = (
        ("user", "user_id", "users"),
        ("item", "item_id", "items"),
        (
            "weight",
            "weight",
            "strengths above 0, such as ratings or plays; without this default column, or with '', "
            "every row counts 1",
        ),
        ("time", "timestamp", "dates or whole numbers; may be absent, '' ignores them"),
    )
    for name, column, what in columns:
        group.add_argument(
            f"--{name}", default=column, metavar="COLUMN", help=f"{what} (default: %(default)s)"
        )
    group.add_argument(
        "--duplicates",
        default="last",
        choices=DUPLICATES,
        help="which of several rows with the same user and item counts (default: %(default)s)",
    )
    group.add_argument(
        "--min-weight",
        type=float,
        metavar="W",
        help="keep interactions of at least this weight, once repeated rows are merged",
    )
    if not filters:
        return
    group = parser.add_argument_group("filters, applied once: items first, then users")
    for name, what in (("item", "items with at least N users"), ("user", "users with N items")):
        group.add_argument(
            f"--min-per-{name}",
            type=int,
            default=0,
            metavar="N",
            help=f"keep {what} (default: %(default)s, all)",
        )


def add_run_options(parser: argparse.ArgumentParser, *, seed: int) -> None:
    """Seed and device."""
    parser.add_argument(
        "--seed", type=int, default=seed, help="of all chance (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: %(default)s)"
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Declares --quiet, --verbose and --json."""
    group = parser.add_argument_group("what is said")
    volume = group.add_mutually_exclusive_group()
    volume.add_argument(
        "-q", "--quiet", action="store_true", help="no notes and no progress; warnings stay"
    )
    volume.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also versions, every epoch, and the traceback of an error",
    )
    group.add_argument(
        "--json", action="store_true", help="print the result as JSON, and nothing else to stdout"
    )


def read_interactions(path: str, args: argparse.Namespace, output: Output) -> recae.Interactions:
    """The interactions of a table, read and filtered according to the options."""
    data = recae.read_table(
        path,
        user=args.user,
        item=args.item,
        weight=args.weight or None,
        time=args.time or None,
        duplicates=args.duplicates,
        min_weight=args.min_weight,
        progress=output.progress,
    )
    least: dict[str, Any] = {
        name: getattr(args, name, 0) for name in ("min_per_item", "min_per_user")
    }
    if any(least.values()):
        data = data.filter(**least)
    output.note(f"{path}: {data}")
    return data


def names(text: str) -> list[str]:
    """A comma-separated list as an argparse type."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names separated by commas, not {text!r}")
    return found


def count_or_share(text: str) -> int | float:
    """A whole number of users, or a share of them, as an argparse type."""
    return int(text) if text.isdecimal() else float(text)


def typed_ids(texts: list[str], known: IdMap) -> list[Any]:
    """Ids typed on the command line, as integers where the known ones are. Raises ConfigError."""
    if known.kind == "str":
        return list(texts)
    wrong = [text for text in texts if not re.fullmatch("-?[0-9]+", text)]
    if wrong:
        raise ConfigError(f"{known.what} ids are integers here; {wrong[0]!r} is not one")
    return [int(text) for text in texts]


def check_writable(*paths: str | None) -> None:
    """Raises StorageError, before any work is done, for a file that could not be written."""
    for path in paths:
        if path and not Path(path).absolute().parent.is_dir():
            raise StorageError(
                f"cannot write {path}: the folder {Path(path).parent} does not exist"
            )
        if path and Path(path).is_dir():
            raise StorageError(f"cannot write {path}: it is a directory")


def check_out(out: Path, overwrite: bool) -> None:
    """Raises StorageError, before the fit, for a target that `save` would reject."""
    if not out.exists():
        check_writable(str(out))
    elif not (out / CONFIG).is_file():
        raise StorageError(f"{out} exists and is not a model: name another place")
    elif not overwrite:
        raise StorageError(f"{out} exists: pass --overwrite or name another place")


def add_user_options(parser: argparse.ArgumentParser) -> Any:
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
