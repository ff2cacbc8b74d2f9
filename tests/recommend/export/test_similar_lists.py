"""Item-to-item exports: the rows of `similar_items` for every item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError, Interactions
from recae.errors import NotFittedError
from recae.recommend import similar
from recae.recommend.export import run

MODELS = {
    "ease": recae.EASE(l2=3.0),
    "als": recae.ALS(latent=4),
    "item-knn": recae.ItemKNN(neighbours=5),
    "user-knn": recae.UserKNN(neighbours=5),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are compared 3 at a time, 6 in a part."""
    monkeypatch.setattr(similar, "rows_per_batch", lambda *_: 3)
    monkeypatch.setattr("recae.recommend.exported.rows_per_batch", lambda *_: 3)
    monkeypatch.setattr(run, "PART_USERS", 6)


def assert_rows(path: Path, expected: pd.DataFrame) -> None:
    found = pd.read_parquet(path)
    for column in expected:
        assert found[column].tolist() == expected[column].tolist(), column


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"items": ["i1", "i2", "i9"], "exclude_items": ["i9"]}])
def test_the_rows_are_those_of_similar_items(text_data, tmp_path, name, options) -> None:
    model = MODELS[name].fit(text_data)
    expected = model.similar_items(model.items_.ids, k=4, **options)
    for place in ("lists", "lists.parquet"):
        assert model.export_similar(tmp_path / place, k=4, **options) == len(expected)
        assert_rows(tmp_path / place, expected)
    export = recae.open_export(tmp_path / "lists")
    export.verify()
    assert (export.users, export.rows, export.k) == (16, len(expected), 4)
    assert export.manifest["kind"] == "similar items" and len(export.manifest["parts"]) == 3
    assert [*export.schema.names] == ["item_id", "similar_item_id", "score", "rank"]
    same = recae.compare_exports(export, tmp_path / "lists.parquet")
    assert (same.users, same.changed) == (expected["item_id"].nunique(), 0)


def test_titles_and_items_without_users(int_frame, tmp_path) -> None:
    items = sorted(int_frame["item_id"].unique())
    data = Interactions.from_frame(int_frame, items=recae.data.IdMap([*items, 7], "item"))
    model = recae.EASE(l2=3.0).fit(data.binarised())
    model.export_similar(tmp_path / "lists", k=99, titles={900: "Alien"})
    found = pd.read_parquet(tmp_path / "lists")
    assert 7 not in {*found["item_id"], *found["similar_item_id"]}
    assert len(found) == 16 * 15 and (found["item_id"] != found["similar_item_id"]).all()
    titled = found["similar_item_id"] == 900
    assert (found["title"][titled] == "Alien").all() and found["title"][~titled].isna().all()
    assert_rows(tmp_path / "lists", model.similar_items(items, k=99))


def test_it_resumes(text_data, tmp_path, monkeypatch) -> None:
    model = recae.EASE(l2=3.0).fit(text_data)
    model.export_similar(tmp_path / "full", k=3)
    compare, asked = model._comparing(), []

    def killed(codes: np.ndarray) -> Any:
        asked.append(codes.tolist())
        if len(asked) == 5:  # an empty call, and both batches of the first part before it
            raise KeyboardInterrupt
        return compare(codes)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(model, "_comparing", lambda: killed)
        model.export_similar(tmp_path / "lists", k=3)
    with pytest.raises(DataError, match="complete"):
        recae.open_export(tmp_path / "lists")
    before = len(asked)
    with monkeypatch.context() as patch:
        patch.setattr(model, "_comparing", lambda: killed)
        model.export_similar(tmp_path / "lists", k=3)
    assert len(asked) - before < 7  # not all 6 batches again, and an empty call
    recae.open_export(tmp_path / "lists").verify()
    for part in range(3):
        names = [tmp_path / place / f"part-0000{part}.parquet" for place in ("lists", "full")]
        assert names[0].read_bytes() == names[1].read_bytes()


def test_what_is_refused(text_data, tmp_path) -> None:
    with pytest.raises(NotFittedError):
        recae.EASE().export_similar(tmp_path / "lists")
    with pytest.raises(ConfigError, match="Popularity"):
        recae.Popularity().fit(text_data).export_similar(tmp_path / "lists")
    model = recae.EASE(l2=3.0).fit(text_data)
    for options, error in (
        ({"k": 0}, ConfigError),
        ({"items": ["nothing"]}, DataError),
        ({"on_unknown_items": "skip"}, ConfigError),
        ({"exclude_items": ["nothing"], "on_unknown_items": "raise"}, DataError),
    ):
        with pytest.raises(error):
            model.export_similar(tmp_path / "lists", **options)
    assert not (tmp_path / "lists").exists()
