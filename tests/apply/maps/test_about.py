"""Titles and labels are matched by id; what does not fit is refused or counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import recae
from recae.apply.maps.colours import Amounts, Groups, about_points, colour_of

IDS = recae.data.IdMap([7, 5, 9], "item")


def test_rows_are_matched_by_id() -> None:
    known = pd.DataFrame(
        {"item_id": [1, 9, 5, 7], "title": ["x", "nine", "five", "seven"], "year": [0, 9, 5, 7]}
    )
    for given in (known, known.astype({"item_id": "int32"}), pl.from_pandas(known)):
        found = about_points(given, IDS)
        assert found["title"].tolist() == ["seven", "five", "nine"]
        assert found["year"].tolist() == [7, 5, 9]
    mapping = {9: "nine", 5: "five", 7: "seven"}
    for given in (mapping, pd.Series(mapping)):
        assert about_points(given, IDS)["title"].tolist() == ["seven", "five", "nine"]
    assert about_points(None, IDS)["title"].tolist() == ["7", "5", "9"]


def test_missing_titles_are_counted() -> None:
    known = pd.DataFrame({"item_id": [7, 5], "title": ["seven", None], "year": [7, 5]})
    with pytest.warns(recae.RecaeWarning, match="2 of 3 items .* 5;"):
        found = about_points(known, IDS)
    assert found["title"].tolist() == ["seven", "5", "9"]
    assert np.isnan(found["year"][2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"item_id": [7, 7], "title": ["a", "b"]}), "distinct; 7"),
        (pd.DataFrame({"item": [7], "title": ["a"]}), "column 'item_id'.* mean 'item'"),
        (
            pd.DataFrame({"item_id": [1], "title": ["a"]}),
            "none .*3 .* 7",
        ),
        (pd.DataFrame({"item_id": ["7"], "title": ["a"]}), "integers .*text"),
        (pd.DataFrame({"item_id": [7.5], "title": ["a"]}), "floats"),
        (["a", "b", "c"], "mapping .*list"),
    ],
)
def test_what_does_not_fit(given: object, message: str) -> None:
    with pytest.raises(recae.DataError, match=message):
        about_points(given, IDS)


def test_labels_are_split_and_the_rarest_shown_one_gives_the_colour() -> None:
    texts = ["Drama"] * 5 + ["Drama|War", "War | Drama", "War", None, "", "(no genres listed)"]
    groups = colour_of(pd.Series(texts), "genres")
    assert isinstance(groups, Groups)
    assert groups.names == ("Drama", "War") and groups.shown == ("Drama", "War")
    assert groups.codes.tolist() == [0] * 5 + [1, 1, 1, 2, 2, 2]
    assert groups.texts()[5:] == ["Drama, War", "Drama, War", "War", "", "", ""]


def test_at_most_eight_groups_are_shown() -> None:
    texts = [f"g{i}" for i in range(12) for _ in range(20 - i)]
    groups = colour_of(pd.Series(texts), "kind")
    assert isinstance(groups, Groups)
    assert groups.shown == tuple(f"g{i}" for i in range(8))
    assert (groups.codes == 8).sum() == sum(20 - i for i in range(8, 12))


def test_numbers_are_amounts_and_truths_are_groups() -> None:
    numbers = colour_of(pd.Series([1, None, 3], dtype="Int64"), "n")
    assert isinstance(numbers, Amounts) and np.isnan(numbers.values[1])
    truths = colour_of(pd.Series([True, False, True]), "t")
    assert isinstance(truths, Groups) and truths.shown == ("True", "False")
    with pytest.raises(recae.DataError, match="'l' .* list"):
        colour_of(pd.Series([["a"], ["b"]]), "l")
    empty = colour_of(pd.Series([None, ""], dtype=object), "e")
    assert isinstance(empty, Groups) and empty.codes.tolist() == [0, 0]
