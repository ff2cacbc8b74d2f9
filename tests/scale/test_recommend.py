"""The callable of a cluster gives the lists of one machine, and refuses to mix models."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae.scale import Recommend, map_in_arrow, processes


def plays(users: int = 40, items: int = 15, text: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers([users, items], size=(users * 5, 2)), axis=0)
    frame = pd.DataFrame({"user_id": pairs[:, 0] * 7, "item_id": pairs[:, 1] * 3 + 1})
    return frame.astype(str) if text else frame


def grouped(frame: pd.DataFrame) -> pa.Table:
    lists = frame.groupby("user_id", sort=False).agg(list)
    return pa.Table.from_pandas(lists.reset_index(), preserve_index=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        text: recae.EASE(l2=2).fit(plays(text=text)).save(folder / f"text is {text}")
        for text in (False, True)
    }


@pytest.mark.parametrize("text", [False, True])
def test_the_lists_of_batches_are_those_of_the_export(
    saved: dict[bool, Path], tmp_path: Path, text: bool
) -> None:
    frame = plays(text=text)
    model = recae.load(saved[text], recae.Recommender)
    model.export(tmp_path / "top.parquet", frame, k=6)
    wanted = pd.read_parquet(tmp_path / "top.parquet").sort_values(["user_id", "rank"])
    call = pickle.loads(pickle.dumps(Recommend(saved[text], k=6)))
    table = grouped(frame.sample(frac=1, random_state=0))
    parts = [call(table.slice(start, 7)) for start in range(0, len(table), 7)]
    found = pa.concat_tables(parts).to_pandas().sort_values(["user_id", "rank"])
    assert found["item_id"].tolist() == wanted["item_id"].tolist()
    assert found["user_id"].tolist() == wanted["user_id"].tolist()
    assert np.allclose(found["score"], wanted["score"], rtol=1e-5, atol=0)


def test_it_is_pickled_without_the_model(saved: dict[bool, Path]) -> None:
    call = Recommend(saved[False], k=3)
    call(grouped(plays()))
    assert len(pickle.dumps(call)) < 1000


def test_a_user_without_items_is_a_stranger(saved: dict[bool, Path]) -> None:
    table = pa.table({"user_id": [9, 1], "item_id": pa.array([[], [1, 4]], pa.list_(pa.int64()))})
    with pytest.raises(recae.DataError, match="9"):
        Recommend(saved[False])(table)
    found = Recommend(saved[False], k=2, on_unknown="popular")(table)
    counts = plays()["item_id"].value_counts()
    assert found["score"].to_pylist()[0] == counts.max()
    assert found["user_id"].to_pylist() == [9, 9, 1, 1]
    with pytest.warns(recae.RecaeWarning, match="9"):
        found = Recommend(saved[False], k=2, on_unknown="skip")(table)
    assert found["user_id"].to_pylist() == [1, 1]
    nobody = Recommend(saved[False])(table.slice(0, 0))
    assert nobody.schema.types == [pa.int64(), pa.int64(), pa.float32(), pa.int32()]


def test_another_model_in_the_folder_is_refused(tmp_path: Path) -> None:
    path = recae.EASE().fit(plays()).save(tmp_path / "model")
    call = Recommend(path, k=3)
    recae.EASE(l2=9).fit(plays()).save(path, overwrite=True)
    with pytest.raises(recae.DataError, match="another model"):
        call(grouped(plays()))


def test_a_model_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(recae.DataError, match="nowhere"):
        Recommend(tmp_path / "nowhere")


def test_another_version_of_recae_is_refused(
    saved: dict[bool, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = pickle.dumps(Recommend(saved[False]))
    monkeypatch.setattr(processes, "__version__", "9.9")
    with pytest.raises(recae.ConfigError, match=r"9\.9"):
        pickle.loads(call)(grouped(plays()))


@pytest.mark.parametrize(
    ("table", "culprit"),
    [
        (pa.table({"user_id": [1], "item_id": [1]}), "item_id"),
        (pa.table({"user_id": [1], "items": [[1]]}), "item_id"),
        (pa.table({"user_id": [1, 1], "item_id": [[1], [4]]}), "1 at position 1"),
        (pa.table({"user_id": [1], "item_id": [[1, 4]], "weight": [[1.0]]}), "weight"),
        (pa.table({"user_id": [1], "item_id": [["a"]]}), "item"),
        ({"user_id": np.array([1])}, "pyarrow"),
    ],
)
def test_a_table_of_another_form_is_refused(
    saved: dict[bool, Path], table: object, culprit: str
) -> None:
    with pytest.raises(recae.DataError, match=culprit):
        Recommend(saved[False])(table)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [False, True])
def test_the_function_for_spark_gives_batches_of_its_schema(
    saved: dict[bool, Path], text: bool
) -> None:
    function = map_in_arrow(saved[text], k=2, user_ids="text" if text else "int")
    kind = "string" if text else "bigint"
    assert function.schema == f"user_id {kind}, item_id {kind}, score float, rank int"
    batches = grouped(plays(text=text)).to_batches(max_chunksize=9)
    found = pa.Table.from_batches(function(iter(batches)))
    assert len(found) == 2 * plays()["user_id"].nunique()
    other = map_in_arrow(saved[text], user_ids="int" if text else "text")
    with pytest.raises(recae.DataError, match="user_ids"):
        list(other(iter(batches)))
