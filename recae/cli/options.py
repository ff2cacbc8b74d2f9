"""Options that several commands share, and functions that read them."""

from __future__ import annotations

import argparse
from typing import Any

import recae
from recae.cli.output import Output
from recae.data.tables.columns import DUPLICATES
from recae.data.tables.files import READERS


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


def read_interactions(path: Any, args: argparse.Namespace, output: Output) -> recae.Interactions:
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
