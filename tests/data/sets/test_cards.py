"""The cards themselves: complete, of the layouts that can be read, and honest about sources."""

from __future__ import annotations

import inspect
import re

import pytest

from recae import Interactions
from recae.data import dataset_card, dataset_names
from recae.data.sets.cards import UNPINNED, by_hand, is_bundled

FETCHED = [name for name in dataset_names() if not is_bundled(dataset_card(name))]
TABLE = {"file", "member", "separator", "encoding", "columns", "quoted", "rest", "ids", "format"}


def test_the_sets_that_the_literature_uses_are_there() -> None:
    movielens = {f"ml-{size}" for size in ("100k", "1m", "10m", "20m", "25m", "32m")}
    others = {"ml-latest-small", "netflix", "msd-taste-profile", "gowalla", "yelp2018"}
    others |= {"amazon-book", "goodbooks-10k", "lastfm-hetrec", "lastfm-lightgcn"}
    assert set(dataset_names()) == movielens | others


@pytest.mark.parametrize("name", dataset_names())
def test_a_card_says_what_a_user_must_know(name: str) -> None:
    card = dataset_card(name)
    assert card["name"] == name
    for key in ("title", "url", "licence", "licence_short", "citation"):
        assert card[key].strip() == card[key] and card[key], key
    assert {"users", "interactions"} <= set(card["counts"])
    sources = card["sources"]
    assert {"licence", "citation"} <= set(sources)
    assert "counts" in sources or set(card["counts"]) - {"rated_items"} <= set(sources)


@pytest.mark.parametrize("name", FETCHED)
def test_a_card_of_a_set_that_is_fetched(name: str) -> None:
    card = dataset_card(name)
    assert {"url", "checksum"} <= set(card["sources"]) or by_hand(card)
    for about in card["files"].values():
        kind, _, digits = about["checksum"].partition(":")
        if about["checksum"] != UNPINNED:
            assert len(digits) == {"md5": 32, "sha256": 64}[kind]
            # One place where it can be read again: repository, file and commit.
            assert re.match(
                r"github\.com/\S+/\S+, \S+ at [0-9a-f]{7}\b", card["sources"]["checksum"]
            )
        assert by_hand(card) or about["url"].startswith(("https://", "http://"))
    tables = [card[key] for key in ("interactions", "items") if key in card]
    for layout in [*tables, *card.get("parts", {}).values()]:
        assert set(layout) <= TABLE
        files = [layout["file"]] if isinstance(layout["file"], str) else layout["file"]
        assert set(files) <= set(card["files"])
    if "parts" in card:
        assert card["counts"]["interactions"] == sum(card["counts"][p] for p in card["parts"])


def test_published_preprocessing() -> None:
    having = {n for n in dataset_names() if "published_preprocessing" in dataset_card(n)}
    assert having == {"ml-20m", "netflix", "msd-taste-profile"}  # Liang et al. 2018
    known = {*inspect.signature(Interactions.filter).parameters, "source"}
    for name in having:
        assert set(dataset_card(name)["published_preprocessing"]) <= known
        assert {"users", "rated_items", "interactions"} == set(
            dataset_card(name)["counts_preprocessed"]
        )
