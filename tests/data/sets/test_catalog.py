"""Named data sets: the bundled one is what its card says, and a wrong one is noticed."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from recae.data import dataset_names, load_dataset
from recae.data.sets import cards as module
from recae.errors import ConfigError, DataError

BUNDLED = Path(__file__).parents[3] / "datasets" / "ml-latest-small"
needs_tables = pytest.mark.skipif(
    not (BUNDLED / "ratings.parquet").is_file(), reason="the tables are only in a checkout"
)


@needs_tables
def test_the_bundled_set_has_its_published_size():
    data = load_dataset()
    # 671 users, 9,125 movies and 100,004 ratings: the README of GroupLens.
    assert (data.interactions.n_users, data.interactions.nnz) == (671, 100_004)
    assert len(data.items) == 9_125
    assert data.items.loc[1, "title"] == "Toy Story (1995)"
    assert data.items.index.name == "item_id" and list(data.items) == ["title", "genres"]
    assert set(data.interactions.matrix.data.tolist()) == {half / 2 for half in range(1, 11)}
    years = pd.to_datetime(data.interactions.times, unit="s").year  # January 1995 to October 2016
    assert (years.min(), years.max()) == (1995, 2016)
    assert set(data.interactions.items.ids) <= set(data.items.index)
    assert "interactions=Interactions(671 users" in repr(data)


@needs_tables
def test_the_licence_travels_with_the_tables():
    readme = (BUNDLED / "README.txt").read_text(encoding="utf-8")
    assert "so long as it is distributed under these same license conditions" in readme


def test_the_root_folder_of_data_is_no_package():
    assert not list(BUNDLED.parent.rglob("*.py"))


def test_unknown_names_list_the_known_ones():
    assert "ml-latest-small" in dataset_names()
    with pytest.raises(ConfigError, match=" mean 'ml-latest-small'"):
        load_dataset("ml-latest-smal")


def test_nothing_is_published_on_how_to_preprocess_it():
    with pytest.raises(ConfigError, match="preprocessing.* ml-20m, msd-taste-profile, netflix"):
        load_dataset(preprocessed=True)


def test_missing_tables_say_where_they_come_from(tmp_path):
    with pytest.raises(DataError, match=r"ratings\.parquet.*root=.*files\.grouplens\.org"):
        load_dataset(root=tmp_path)


def test_an_installed_card_is_enough_to_know_the_set(tmp_path, monkeypatch):
    cards = tmp_path / "cards"
    cards.mkdir()
    shutil.copy(BUNDLED / "card.toml", cards / "ml-latest-small.toml")
    monkeypatch.setattr(module, "INSTALLED", cards)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path / "absent")
    assert dataset_names() == ["ml-latest-small"]
    with pytest.raises(DataError, match=r"ratings\.parquet"):
        load_dataset()


@needs_tables
def test_other_counts_than_the_card_are_refused(tmp_path):
    copy = tmp_path / "ml-latest-small"
    shutil.copytree(BUNDLED, copy)
    assert load_dataset(root=tmp_path).interactions.nnz == 100_004
    pd.read_parquet(copy / "ratings.parquet")[1:].to_parquet(copy / "ratings.parquet")
    with pytest.raises(DataError, match="interactions: 100,003 instead of 100,004"):
        load_dataset(root=tmp_path)
    (copy / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"items\.parquet .*damaged"):
        load_dataset(root=tmp_path)
