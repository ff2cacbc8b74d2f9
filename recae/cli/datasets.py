"""List the data sets that recae knows by name, or show the card of one.

A card has the description of a set, its source, its licence, its numbers of users, items and
interactions, and the source of each fact. In Python, recae.load_dataset(NAME) fetches a set into
the cache once; nothing is fetched here.

example:
  recae datasets
  recae datasets ml-20m
  recae datasets --json
"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.data import dataset_card, dataset_folder, dataset_names, dataset_state

WIDTH = 88


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae datasets`."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="show the card of this set (default: list all sets)"
    )
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Prints the table of all cards, or one card; with --json, all their fields."""
    names = dataset_names() if args.name is None else [args.name]
    cards = {name: dataset_card(name) for name in names}
    found: dict[str, dict[str, Any]] = {  # with the state of each set on this machine
        name: card | {"state": dataset_state(card), "folder": str(dataset_folder(card))}
        for name, card in cards.items()
    }
    if args.name is None:
        output.result(_table(found), found)
    else:
        output.result(_card(found[args.name]), found[args.name])


def _table(cards: dict[str, dict[str, Any]]) -> str:
    """The sets as aligned lines, numbers flush right."""
    head = ("name", "users", "items", "interactions", "licence", "here")
    rows = [head] + [
        (
            name,
            f"{card['counts']['users']:,}",
            f"{card['counts'].get('rated_items', card['counts'].get('items')):,}",
            f"{card['counts']['interactions']:,}",
            card["licence_short"],
            card["state"],
        )
        for name, card in cards.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if 1 <= at <= 3 else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _card(card: dict[str, Any]) -> str:
    """One card as lines, with the source of each fact at the end."""
    counts = card["counts"]
    parts = [
        f"{card['name']}: {card['title']}",
        _field("counts", _counts(counts)),
    ]
    if "published_preprocessing" in card:
        about = dict(card["published_preprocessing"])
        source = about.pop("source")
        steps = ", ".join(f"{key}={value}" for key, value in about.items())
        parts.append(_field("preprocessed=True", f"Interactions.filter({steps}), as in {source}"))
        parts.append(_field("counts then", _counts(card["counts_preprocessed"])))
    if "parts" in card:
        parts.append(_field("published parts", ", ".join(card["parts"])))
    parts += [_field(key, card[key]) for key in ("licence", "citation", "url")]
    for name, file in card.get("files", {}).items():
        address = file.get("url", "to be fetched by hand")
        parts.append(_field(name, f"{address} ({file['checksum']})"))
    parts.append(_field("here", f"{card['state']}: {card['folder']}"))
    if card["state"] == "by hand":
        parts.append(card["steps"].strip("\n"))
    parts += [_field(f"source of {key}", text) for key, text in card["sources"].items()]
    return "\n".join(parts)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


def _field(name: str, text: str) -> str:
    return textwrap.fill(
        f"{name}: {text}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
