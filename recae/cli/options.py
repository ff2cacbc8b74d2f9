"""Options that several commands share, and functions that read them."""

from __future__ import annotations

import argparse
from typing import Any

import recae
from recae.cli.output import Output
from recae.data import IdMap
from recae.data.stored.folder import as_stored
from recae.data.tables.columns import DUPLICATES
from recae.data.tables.dialect import KINDS
from recae.data.tables.faults import BAD_ROWS
from recae.data.tables.files import PARQUET, TEXT


def add_table_options(parser: argparse.ArgumentParser, *, filters: bool = False) -> None:
    """How to read a table of interactions, and with `filters` those of users and items."""
    group = parser.add_argument_group(f"the table ({', '.join((*PARQUET, *TEXT))}, also .gz)")
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
    _add_text_options(parser)
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
    group.add_argument(
        "--on-bad-rows",
        default="error",
        choices=BAD_ROWS,
        help="rows with missing or unusable values: report all of them, or leave them out with a "
        "warning (default: %(default)s)",
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


def _add_text_options(parser: argparse.ArgumentParser) -> None:
    """How a text file is written, for what its first lines do not show."""
    group = parser.add_argument_group("text files; - reads one from stdin")
    group.add_argument(
        "--sep", type=_separator, metavar="SEP", help=r"between fields, such as ';' or '\t'"
    )
    group.add_argument(
        "--decimal",
        choices=(".", ","),
        help="in weights (default: a comma if fields such as 7,5 have one and none has a point)",
    )
    group.add_argument(
        "--encoding", metavar="NAME", help="such as cp1252 (default: UTF-8, or UTF-16 by its mark)"
    )
    group.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="of times that are no ISO dates, such as '%%d.%%m.%%Y %%H:%%M'; usual ones are found",
    )
    group.add_argument(
        "--ids",
        default="auto",
        choices=KINDS,
        help="integers where all fields are, or always text (007), or always integers",
    )
    group.add_argument(
        "--no-quoting", dest="quoting", action="store_false", help='" is part of the text'
    )
    group.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="the first line is a row; name columns by number: --user 0 --item 1",
    )


def _separator(text: str) -> str:
    """A separator as an argparse type; \\t and "tab" are a tab."""
    return "\t" if text in ("\\t", "tab") else text


def add_run_options(parser: argparse.ArgumentParser, *, seed: int) -> None:
    """Seed and device."""
    parser.add_argument(
        "--seed",
        type=int,
        default=seed,
        help="seed of all that is random (default: %(default)s)",
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


def read_interactions(
    path: Any,
    args: argparse.Namespace,
    output: Output,
    items: IdMap | None = None,
    *,
    verify: bool = True,
) -> recae.Interactions:
    """The interactions of a table or a data folder, read and filtered according to the options.

    items: those of a model, whose kind the ids of items have then. verify: compare the checksums of
    a data folder, where all of it is read anyway.
    """
    stored = as_stored(path)
    if stored is not None and verify:
        recae.open_data(stored, verify=True)
    kind = args.ids if items is None else {"int": "integer", "str": "text"}[items.kind]
    data = recae.read_table(path, **table_options(args, kind), progress=output.progress)
    least: dict[str, Any] = {
        name: getattr(args, name, 0) for name in ("min_per_item", "min_per_user")
    }
    if any(least.values()):
        data = data.filter(**least)
    output.note(f"{path if isinstance(path, str) else ', '.join(path)}: {data}")
    return data


def table_options(args: argparse.Namespace, item_ids: str | None = None) -> dict[str, Any]:
    """The arguments of `read_table` that the options give; item_ids: the kind of those of items."""
    return {
        "user": args.user,
        "item": args.item,
        "weight": args.weight or None,
        "time": args.time or None,
        "duplicates": args.duplicates,
        "min_weight": args.min_weight,
        "on_bad_rows": args.on_bad_rows,
        "sep": args.sep,
        "quoting": args.quoting,
        "decimal": args.decimal,
        "encoding": args.encoding,
        "header": args.header,
        "ids": (args.ids, item_ids or args.ids),
        "time_format": args.time_format,
    }


def names(text: str) -> list[str]:
    """A comma-separated list as an argparse type."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names separated by commas, not {text!r}")
    return found


def count_or_share(text: str) -> int | float:
    """A whole number of users, or a share of them, as an argparse type."""
    return int(text) if text.isdecimal() else float(text)
