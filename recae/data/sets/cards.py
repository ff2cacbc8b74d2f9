"""The cards of the named data sets: description, source, licence and file layout."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, check_option

Card = dict[str, Any]

# The wheel carries the cards; a source checkout has them in datasets/, one with its tables.
INSTALLED = Path(__file__).parent / "cards"
CHECKOUT = Path(__file__).parents[3] / "datasets"

UNPINNED = "unpinned"
"""The checksum of a file without a published one."""


def dataset_names() -> list[str]:
    """The names of `load_dataset`, ascending.

    >>> recae.data.dataset_names()[:2]
    ['amazon-book', 'goodbooks-10k']
    """
    return sorted(_cards())


def dataset_card(name: str) -> Card:
    """The parsed card of a data set. Raises ConfigError, listing the known names.

    >>> recae.data.dataset_card("ml-1m")["counts"]["interactions"]
    1000209
    """
    cards = _cards()
    check_option("dataset", name, cards)
    return tomllib.loads(cards[name].read_text(encoding="utf-8"))


def published_preprocessing(card: Card) -> dict[str, Any]:
    """The arguments of `Interactions.filter` that the literature uses on a set.

    Raises ConfigError, with the names of the sets that have some, for a set without.
    """
    if "published_preprocessing" not in card:
        having = [n for n in dataset_names() if "published_preprocessing" in dataset_card(n)]
        raise ConfigError(
            f"no preprocessing of {card['name']!r} is in its card; there is one for "
            f"{', '.join(having) or 'none'}. Use Interactions.filter or k_core"
        )
    return dict(card["published_preprocessing"])


def is_bundled(card: Card) -> bool:
    """Whether the tables of a set are part of the source checkout."""
    return "tables" in card


def by_hand(card: Card) -> bool:
    """Whether the files of a set cannot be fetched, and its card has the steps to get them."""
    return "steps" in card


def _cards() -> dict[str, Path]:
    cards = {path.stem: path for path in INSTALLED.glob("*.toml")}
    return {path.parent.name: path for path in CHECKOUT.glob("*/card.toml")} | cards
