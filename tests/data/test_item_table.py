"""Tables about items: every form of them says the same, and ids are matched, not positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import recae
from recae.data import IdMap, ItemTable
from recae.errors import DataError

FILMS = pd.DataFrame({"item_id": [9, 5, 7], "title": ["nine", None, "seven"], "year": [1, 2, 3]})


def forms(folder: Path) -> list:
    FILMS.to_parquet(folder / "films.parquet")
    FILMS.to_csv(folder / "films.csv", index=False)
    FILMS.to_csv(folder / "films.tsv.gz", index=False, sep="\t")
    files = [folder / "films.parquet", str(folder / "films.csv"), folder / "films.tsv.gz"]
    by_id = FILMS.set_index("item_id")
    return [FILMS, by_id, pl.from_pandas(FILMS), by_id["title"], dict(by_id["title"]), *files]


def test_all_forms_of_a_table_give_the_same_texts(tmp_path: Path) -> None:
    for given in forms(tmp_path):
        table = ItemTable(given)
        assert table.texts([7, 5, 1, 7]) == ["seven", "5", "1", "seven"]
        assert table.texts(IdMap([1, 9]), missing="") == ["", "nine"]
        assert table.places([5, 1]).tolist() == [1, -1]


def test_rows_have_missing_values_where_there_is_no_row() -> None:
    rows = ItemTable(FILMS).rows([1, 9])
    assert rows["title"].isna().tolist() == [True, False]
    np.testing.assert_array_equal(rows["year"], [np.nan, 1])


def test_users_and_other_columns_of_ids() -> None:
    people = pd.DataFrame({"who": ["a"], "user_id": ["b"], "title": ["x"]})
    assert ItemTable(people, what="user").texts(["b"]) == ["x"]
    assert ItemTable(people, id_column="who").texts(["a"]) == ["x"]


def test_categories_of_rows_lists_and_separated_texts_are_the_same() -> None:
    items = IdMap([1, 2, 3], "item")
    rows = pd.DataFrame({"item_id": [1, 1, 3, 8], "category": ["x", "y", "x", "z"]})
    texts = {1: " y|x", 3: "x|", 8: "z"}
    lists = {1: ["x", "y"], 3: ["x"], 8: ["z"], 2: None}
    wanted = [[1, 1, 0], [0, 0, 0], [1, 0, 0]]  # z belongs to an unknown item
    for given, separator in ((rows, None), (texts, "|"), (lists, "|")):
        with pytest.warns(recae.RecaeWarning, match="1 of 3 items"):
            table = ItemTable(given, value="category")
            names, matrix = table.categories(items, separator=separator)
        assert names == ["x", "y", "z"]
        np.testing.assert_array_equal(matrix.toarray(), wanted)


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        (["a"], "list"),
        (FILMS.drop(columns="item_id"), "item_id"),
        (FILMS.assign(item_id=[9, 5, 5]), "5"),
        (FILMS.assign(item_id=[9.5, 5, 5]), "9.5"),
        ("nowhere.csv", "nowhere.csv"),
        ({5: "five"}, "such as 7"),
        ({7: "\ud800"}, "title.*row 0"),
        (pd.Series(["a", "\ud800"], index=[7, 8], dtype=object), "title.*row 1"),
        (FILMS.assign(film=pd.Series(["a", "b", "\ud800"], dtype=object)), "film.*row 2"),
        (pd.concat([FILMS, FILMS[["title"]]], axis=1), "title"),
        (FILMS.set_index(["item_id", "year"]), "MultiIndex"),
    ],
)
def test_what_does_not_fit_is_named(given: object, culprit: str) -> None:
    with pytest.raises(recae.DataError, match=culprit):
        ItemTable(given).texts([7], required=True)


def test_an_absent_column_and_repeated_rows_are_named() -> None:
    with pytest.raises(recae.DataError) as caught:
        ItemTable(FILMS).texts([9], "titel")
    assert caught.value.parameter == "titel" and "title" in str(caught.value)
    with pytest.raises(recae.DataError, match="None|missing"):
        ItemTable({1: None}, value="category").categories(IdMap([1]))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"title": ["A", "B"], "name": ["C", "D"]}, "title"),
        ({"Title": ["A", "A"], "plot": ["C", "D"]}, "Title"),
        ({"movie_title": ["A", "B"], "plot": ["C", "D"]}, "movie_title"),
        ({"NAME": ["A", "B"], "username": ["C", "D"]}, "NAME"),
        ({"Bezeichnung": ["A", "B"], "genre": ["C", "C"], "year": [1, 2]}, "Bezeichnung"),
        ({"year": [1979, 1985]}, "year"),
        ({"genre": ["C", "C"], "year": [1, 2]}, None),
        ({"cast": ["A", "B"], "plot": ["C", "D"]}, None),
        ({"title_de": ["A", "B"], "title_fr": ["C", "D"]}, None),
        ({}, None),
    ],
)
def test_the_column_of_titles_is_found(columns: dict[str, list[Any]], expected: str | None) -> None:
    table = ItemTable(pd.DataFrame({"item_id": [7, 8]} | columns))
    if expected is not None:
        assert table.title_column() == expected
        return
    with pytest.raises(DataError, match=", ".join(columns) or "none") as error:
        table.title_column()
    assert error.value.parameter == "title_column"


def test_the_column_of_ids_is_found(tmp_path: Path) -> None:
    frame = pd.DataFrame({"year": [7, 7, 9], "movieId": [7, 8, 9], "score": [0.5, 1, 2]})
    assert ItemTable(frame, known=IdMap([7, 8, 9])).ids.tolist() == [7, 8, 9]
    assert [*ItemTable(frame, known=IdMap([7, 8, 9])).columns] == ["year", "score"]
    assert ItemTable(frame.rename(columns={"year": "item_id"}), known=IdMap([8])).ids[0] == 7
    for known in (IdMap([1]), IdMap(["x"])):
        with pytest.raises(DataError, match="'item_id'.*movieId"):
            ItemTable(frame, known=known)
    (tmp_path / "t.csv").write_text("year,code,title\n1979,007,Alien\n1985,008,Brazil\n")
    table = ItemTable(tmp_path / "t.csv", ids="text", known=IdMap(["007", "008"]))
    assert table.ids.tolist() == ["007", "008"] and table.columns["year"].tolist() == [1979, 1985]
