"""Loads data sets by name and checks their tables against the card."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data.interactions import Interactions
from recae.data.sets import cards
from recae.data.sets.cards import Card, by_hand, dataset_card, is_bundled, published_preprocessing
from recae.data.sets.download import (
    missing_files,
    pin_files,
    provide_files,
    unpinned_files,
)
from recae.data.sets.layouts import (
    ArchiveSource,
    ByItemSource,
    read_items,
    read_lists,
    read_pairs,
)
from recae.data.stored.sources import COLUMNS
from recae.data.tables.entries import read_entries
from recae.data.tables.paths import file_errors
from recae.data.tables.readers import read_parquet
from recae.data.tables.sources import read_frame
from recae.errors import DataError, explained
from recae.system.machine import cache_folder


@dataclass(frozen=True)
class Dataset:
    """A named data set.

    interactions: with weights and times where the set has them. items: facts about the items,
    indexed by item_id (a superset of the items with interactions), in text columns such as title.
    card: the parsed `card.toml` (url, licence, citation, columns, counts and their sources). parts:
    the published parts by name ("train", "test"), over the ids of `interactions`, which is all of
    them together; empty where no parts are published.

    >>> films = pd.DataFrame({"title": ["Alien"]}, index=pd.Index([7], name="item_id"))
    >>> recae.data.Dataset("mine", data, films, card={}).items.loc[7, "title"]
    'Alien'
    """

    name: str
    interactions: Interactions
    items: pd.DataFrame = field(repr=False)
    card: dict[str, Any] = field(repr=False)
    parts: dict[str, Interactions] = field(default_factory=dict, repr=False)


@explained
def load_dataset(
    name: str = "ml-latest-small",
    root: str | os.PathLike[str] | None = None,
    *,
    preprocessed: bool = False,
    download: bool = True,
    progress: bool | None = None,
) -> Dataset:
    """The data set of this name, its counts checked against its card.

    root: the folder that holds the folder `name` with the files. The default for the bundled set is
    `datasets/` of the source checkout. Otherwise it is the folder that the environment variable
    RECAE_DATA names, or one of the user's caches. The package has the cards, but not the data,
    because their licences forbid it. Missing files are downloaded once, unless `download` is False,
    and read without being unpacked. Check the licence in the card first.

    preprocessed: apply the usual preprocessing of the literature (Liang et al. 2018 for ml-20m,
    netflix and msd-taste-profile), and check the published counts of its result. progress: as in
    `fit`.

    Raises ConfigError for an unknown name, or if no preprocessing is published. Raises DataError if
    files are missing (with the steps of a manual download), do not match their checksum, or if the
    counts differ from the card. Raises DownloadError or StorageError if fetching fails. Warns
    (RecaeWarning) when it fetches a file without a published checksum: the checksum is stored and
    compared later.

    >>> load_dataset().interactions.n_users
    671
    """
    card = dataset_card(name)
    steps = published_preprocessing(card) if preprocessed else {}
    folder = dataset_folder(card, root)
    if is_bundled(card):
        data = _bundled(card, folder, progress)
        _check_counts(data, card["counts"], f"{folder} is not the {name!r} of its card")
    else:
        provide_files(card, folder, download, progress)
        data = _checked(card, folder, progress)
    if not preprocessed:
        return data
    steps.pop("source", None)
    few = Dataset(name, data.interactions.filter(**steps), data.items, card)
    wanted = card["counts_preprocessed"]
    _check_counts(few, wanted, f"{name!r} is not what is published of it, once preprocessed")
    return few


def dataset_folder(card: Card, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder with the files of a set, whether or not it exists."""
    default = cards.CHECKOUT if is_bundled(card) else cache_folder()
    return Path(default if root is None else root) / str(card["name"])


def dataset_state(card: Card) -> str:
    """The state of a set: "bundled", "cached", "to fetch", "by hand" or "not here"."""
    folder = dataset_folder(card)
    if is_bundled(card):
        whole = all((folder / file).is_file() for file in card["tables"].values())
        return "bundled" if whole else "not here"
    if not missing_files(card, folder):
        return "cached"
    return "by hand" if by_hand(card) else "to fetch"


def _bundled(card: Card, folder: Path, progress: bool | None) -> Dataset:
    """The bundled set, whose tables are Parquet files of the source checkout. Raises DataError
    where they are missing."""
    tables, columns, name = card["tables"], card["columns"], card["name"]
    missing = [file for file in tables.values() if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"the tables of {name!r} are not in {folder} (missing: {', '.join(missing)}). They do "
            "not travel with the package; take the folder datasets/ of a source checkout of recae "
            f"and pass it as root=. They come from {card['url']} ({card['url_note']})"
        )
    interactions = read_parquet(
        folder / tables["interactions"], **columns["interactions"], progress=progress
    )
    with file_errors(folder / tables["items"]) as file:
        items = read_frame(file).set_index(columns["items"]["item"])
    return Dataset(name, interactions, items, card)


def _checked(card: Card, folder: Path, progress: bool | None) -> Dataset:
    """The set from its files; stores checksums that are not published once the counts match."""
    unpinned = unpinned_files(card, folder)
    try:
        data = _read(card, folder, progress)
        _check_counts(data, card["counts"], f"{folder} is not the {card['name']!r} of its card")
    except DataError as error:
        if not unpinned or by_hand(card):
            raise
        files = ", ".join(map(str, unpinned))
        raise DataError(
            f"{error}. There is no checksum to verify the file: delete {files} to have it "
            "fetched again"
        ) from None
    pin_files(unpinned)
    return data


def _read(card: Card, folder: Path, progress: bool | None) -> Dataset:
    """A set read from its files: from published parts, which share the ids of all parts together,
    or from one table."""
    parts: dict[str, Interactions] = {}
    if "parts" in card:
        frames = {
            part: (read_pairs if "columns" in layout else read_lists)(folder, layout)
            for part, layout in card["parts"].items()
        }
        data = Interactions.from_frame(pd.concat(frames.values(), ignore_index=True))
        parts = {
            part: Interactions.from_frame(frame, users=data.users, items=data.items)
            for part, frame in frames.items()
        }
    else:
        layout = card["interactions"]
        kind = ByItemSource if layout.get("format") == "by item" else ArchiveSource
        source = kind(folder, layout)
        source.rows = card.get("counts", {}).get("interactions")
        data = Interactions._owning(
            *read_entries(source, COLUMNS, "last", None, progress, quiet=True)
        )
    if "items" in card:
        items = read_items(folder, card["items"])
    else:
        items = pd.DataFrame(index=pd.Index(data.items.ids, name="item_id"))
    return Dataset(card["name"], data, items, card, parts)


def _check_counts(data: Dataset, wanted: dict[str, int], complaint: str) -> None:
    """Raises DataError with every count that differs from the card."""
    found = {
        "users": data.interactions.n_users,
        "rated_items": data.interactions.n_items,
        "interactions": data.interactions.nnz,
        "items": len(data.items),
        **{part: interactions.nnz for part, interactions in data.parts.items()},
    }
    wrong = [
        f"{key}: {found[key]:,} instead of {count:,}"
        for key, count in wanted.items()
        if found[key] != count
    ]
    if wrong:
        raise DataError(f"{complaint}: {'; '.join(wrong)}")
