"""The search in titles: words, accents, ids, and the order of what is found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from recae.data import ItemTable
from recae.serve.shelf import Served
from recae.serve.titles import Titles

PLAYS = {0: ["a", "b", "c", "7"], 1: ["a", "b", "c"], 2: ["a", "b"], 3: ["a", "x.*"]}
NAMES = {"a": "Matrix, The", "b": "Amélie", "c": "The Matrix Reloaded", "x.*": "100% <b>Wolf</b>"}


def titles(plays: dict[int, list[Any]], given: Any) -> Titles:
    rows = {
        "user_id": [user for user, items in plays.items() for _ in items],
        "item_id": [item for items in plays.values() for item in items],
    }
    model = recae.Popularity().fit(pd.DataFrame(rows))
    table = None if given is None else ItemTable(given)
    return Titles(Served("m", Path("m"), "1", model, table, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("matrix", ["a", "c"]),  # begins with it, and then the rest
        ("the MATRIX", ["c", "a"]),  # both have both words
        ("amelie", ["b"]),
        ("AMÉLIE", ["b"]),
        ("me\u0301l", ["b"]),  # é in two characters
        ("<b>", ["x.*"]),
        ("%", ["x.*"]),
        (".*", []),  # no pattern, and the item has a title
        ("x.*", ["x.*"]),  # its id
        ("7", ["7"]),
        ("nothing", []),
        ("", ["a", "b", "c", "7", "x.*"]),  # popular ones first
        ("  ", ["a", "b", "c", "7", "x.*"]),
    ],
)
def test_items_are_found(text: str, expected: list[str]) -> None:
    found = titles(PLAYS, NAMES).search(text, 10)
    assert [item["item_id"] for item in found] == expected
    assert all(item.get("title") == NAMES.get(item["item_id"]) for item in found)


def test_items_without_titles_are_found_by_their_numbers() -> None:
    plays = {0: [318, 31, 2**62], 1: [318, 31], 2: [318]}
    for given in (None, {318: ""}):
        searched = titles(plays, given)
        assert searched.search("31", 5) == [{"item_id": 31}, {"item_id": 318}]  # itself first
        assert searched.search(str(2**62), 5) == [{"item_id": 2**62}]
        for text in ("9" * 40, "-", "٣", "3.18", "\x00"):
            assert searched.search(text, 5) == [], text
        assert len(searched.search("", 2)) == 2


def test_a_title_of_half_a_character_is_refused() -> None:
    table = pd.DataFrame({"item_id": ["a"], "title": pd.Series(["A \ud800"], dtype=object)})
    with pytest.raises(recae.errors.DataError, match="title"):
        titles(PLAYS, table)


def test_a_table_without_titles_gives_none() -> None:

    facts = pd.DataFrame({"item_id": ["a", "b"], "genre": ["x", "y"]})
    assert titles(PLAYS, facts).by_id == {}
