"""Data sets by name: a card says what a set is, and its tables are checked against the card."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data.interactions import Interactions
from recae.data.paths import file_errors
from recae.data.readers import read_parquet
from recae.errors import DataError, unknown_option

# The wheel carries the cards; a source checkout has cards and tables side by side.
_INSTALLED_CARDS = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Dataset:
    """A named data set.

    interactions: with weights and times where the set has them; items: what is known of the items,
    indexed by item_id (a superset of the items interacted with), text columns such as title;
    card: the parsed `card.toml` (url, licence, citation, columns, counts and their sources).
    """

    name: str
    interactions: Interactions
    items: pd.DataFrame = field(repr=False)
    card: dict[str, Any] = field(repr=False)


def dataset_names() -> list[str]:
    """The names that `load_dataset` knows, ascending."""
    return sorted(_cards())


def load_dataset(
    name: str = "ml-latest-small", root: str | os.PathLike[str] | None = None
) -> Dataset:
    """The data set of this name, its counts checked against its card.

    root: the folder that holds the folder `name` with the tables; by default `datasets/` of the
    source checkout. Cards travel with the installed package, tables do not (their licences forbid
    it). Raises ConfigError for an unknown name, DataError if tables are missing or differ.
    """
    cards = _cards()
    if name not in cards:
        raise unknown_option("dataset", name, cards)
    card = tomllib.loads(cards[name].read_text(encoding="utf-8"))
    folder = Path(_CHECKOUT if root is None else root) / name
    tables, columns = card["tables"], card["columns"]
    missing = [file for file in tables.values() if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"the tables of {name!r} are not in {folder} (missing: {', '.join(missing)}). They do "
            "not travel with the package; take the folder datasets/ of a source checkout of recae "
            f"and pass it as root=. They come from {card['url']} ({card['url_note']})"
        )
    interactions = read_parquet(folder / tables["interactions"], **columns["interactions"])
    with file_errors(folder / tables["items"]) as file:
        items = pd.read_parquet(file).set_index(columns["items"]["item"])
    found = {
        "users": interactions.n_users,
        "rated_items": interactions.n_items,
        "interactions": interactions.nnz,
        "items": len(items),
    }
    wrong = [
        f"{key}: {found[key]:,} instead of {count:,}"
        for key, count in card["counts"].items()
        if found[key] != count
    ]
    if wrong:
        raise DataError(f"{folder} is not the {name!r} of its card: {'; '.join(wrong)}")
    return Dataset(name, interactions, items, card)


def _cards() -> dict[str, Path]:
    cards = {path.stem: path for path in _INSTALLED_CARDS.glob("*.toml")}
    return {path.parent.name: path for path in _CHECKOUT.glob("*/card.toml")} | cards
