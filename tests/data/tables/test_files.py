"""Folders, globs and lists of files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three months of plays, and what is no data beside them."""
    for month in (1, 2, 3):
        part = tmp_path / "plays" / f"month={month}"
        part.mkdir(parents=True)
        frame = pd.DataFrame({"user_id": [1, month], "item_id": [month, 9], "weight": [month, 1]})
        frame.to_parquet(part / "part-0.parquet")
        frame.to_csv(tmp_path / f"plays-{month}.csv", index=False)
    for name in ("_SUCCESS", ".hidden.parquet", "_delta_log/0.parquet", "notes.txt"):
        path = tmp_path / "plays" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not a table")
    return tmp_path


def content(data: recae.Interactions) -> list[tuple[int, int, float]]:
    return list(data.to_frame().itertuples(index=False, name=None))


EXPECTED = [(1, 1, 1.0), (1, 2, 2.0), (1, 3, 3.0), (1, 9, 1.0), (2, 9, 1.0), (3, 9, 1.0)]


def test_folders_globs_and_lists_are_read_as_one_table(folder: Path) -> None:
    assert content(recae.read_parquet(folder / "plays")) == EXPECTED
    assert content(recae.read_table(folder / "plays")) == EXPECTED
    assert content(recae.read_parquet(str(folder / "plays" / "**" / "part-*.parquet"))) == EXPECTED
    assert content(recae.read_csv(str(folder / "plays-[1-3].csv"))) == EXPECTED
    files = [folder / f"plays-{month}.csv" for month in (3, 1, 2)]
    assert content(recae.read_table(files)) == EXPECTED
    assert content(recae.read_csv(files[:1])) == [(1, 3, 3.0), (3, 9, 1.0)]


def test_the_order_of_files_is_the_order_of_their_rows(folder: Path) -> None:
    files = [folder / f"plays-{month}.csv" for month in (1, 2, 3)]
    pd.DataFrame({"user_id": [1], "item_id": [9], "weight": [7]}).to_csv(files[2], index=False)
    assert (1, 9, 7.0) in content(recae.read_csv(files))
    assert (1, 9, 1.0) in content(recae.read_csv(files[::-1]))


def test_a_name_with_brackets_is_a_file_first(folder: Path) -> None:
    (folder / "plays-1.csv").rename(folder / "plays [1].csv")
    assert len(content(recae.read_csv(folder / "plays [1].csv"))) == 2


def test_types_are_those_of_the_whole_column_over_all_files(folder: Path) -> None:
    (folder / "plays-2.csv").write_text("user_id,item_id\nx1,2\n")
    (folder / "plays-1.csv").write_text("user_id,item_id\n7,5\n")
    data = recae.read_csv([folder / "plays-1.csv", folder / "plays-2.csv"])
    assert data.users.ids.tolist() == ["7", "x1"]
    assert data.items.ids.tolist() == [2, 5]


def test_mistakes_name_the_file(folder: Path) -> None:
    plays = folder / "plays"
    with pytest.raises(DataError, match="no file .*2031"):
        recae.read_parquet(str(plays / "2031-*.parquet"))
    with pytest.raises(DataError, match=r"plays .*no file .*\.csv"):
        recae.read_csv(plays)
    with pytest.raises(DataError, match="paths .*empty"):
        recae.read_parquet([])
    with pytest.raises(DataError, match="path .*, not 7"):
        recae.read_parquet([7])
    with pytest.raises(DataError, match="plays-9.csv .*not exist"):
        recae.read_csv([folder / "plays-1.csv", folder / "plays-9.csv"])
    (plays / "month=1" / "more.csv").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match="several formats .*csv.*parquet"):
        recae.read_table(plays)
    second = plays / "month=2" / "part-0.parquet"
    whole = second.read_bytes()
    second.write_bytes(whole[:-20])
    with pytest.raises(DataError, match="month=2/part-0.parquet .*damaged"):
        recae.read_parquet(plays)
    pd.DataFrame({"user_id": ["a"], "item_id": [2], "weight": [1]}).to_parquet(second)
    with pytest.raises(DataError, match="month=2/part-0.parquet: user ids .*mix "):
        recae.read_parquet(plays)
    pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(second)
    with pytest.raises(DataError, match="part-0.parquet: .*first file.* 'weight'"):
        recae.read_parquet(plays)
    pd.DataFrame({"user_id": [1, 2], "item_id": [2, 2], "weight": [1, -1]}).to_parquet(second)
    with pytest.raises(DataError, match="month=2/part-0.parquet: weights .*> 0.* row 1"):
        recae.read_parquet(plays)


def test_what_may_not_be_read_is_not_called_damaged(folder: Path, monkeypatch) -> None:
    def denied(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", "plays-1.csv")

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DataError, match=r"plays-1\.csv .*permission"):
        recae.read_csv(folder / "plays-1.csv")
