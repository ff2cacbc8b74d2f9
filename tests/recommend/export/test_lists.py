"""Everybody's list as a file: the rows of `recommend`, streamed, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from recae import EASE, ConfigError, DataError, Interactions, RecaeWarning
from recae.errors import NotFittedError, StorageError


@pytest.fixture(scope="module")
def text_model(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


@pytest.fixture(scope="module")
def int_model(int_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(int_data)


def assert_rows(path: Path, expected: pd.DataFrame) -> None:
    table = pq.read_table(path)
    for column in expected:
        assert table[column].to_pylist() == expected[column].tolist(), column


@pytest.mark.parametrize("batch_size", ["auto", 1, 5, 36])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "exclude_seen": False},
        {"k": 3, "items": ["i1", "i9", "i10"], "exclude_items": ["i9"]},
        {"k": 3, "users": ["u9", "u4", "u9"]},
        {"k": 3, "users": ["u9", "who"], "on_unknown": "popular"},
        {"k": 3, "history": pd.DataFrame({"user_id": [5, 5, 2], "item_id": ["i1", "i2", "i9"]})},
        {"items": []},
    ],
)
def test_the_rows_are_those_of_recommend(text_model, tmp_path, options, batch_size) -> None:
    path = tmp_path / "top.parquet"
    rows = text_model.export(path, batch_size=batch_size, **options)
    expected = text_model.recommend(**({"k": 100} | options))
    assert rows == len(expected) == pq.read_metadata(path).num_rows
    assert_rows(path, expected)


def test_the_columns_have_stated_types(text_model, int_model, tmp_path) -> None:
    for model, kind in ((text_model, pa.string()), (int_model, pa.int64())):
        types = [
            ("user_id", kind),
            ("item_id", kind),
            ("score", pa.float32()),
            ("rank", pa.int32()),
        ]
        path = tmp_path / "top.parquet"
        model.export(path, k=2, overwrite=True)
        assert pq.read_schema(path).equals(pa.schema(types))
        assert model.export(path, users=[], overwrite=True) == 0
        assert pq.read_schema(path).equals(pa.schema(types))
        stranger = "who" if kind == pa.string() else 5
        with pytest.warns(RecaeWarning, match="1 of 1 users"):
            assert model.export(path, users=[stranger], on_unknown="skip", overwrite=True) == 0
        assert pq.read_schema(path).equals(pa.schema(types))


def test_a_matrix_as_history_numbers_its_users(text_model, text_data, tmp_path) -> None:
    path = tmp_path / "top.parquet"
    text_model.export(path, text_data.matrix[[5, 3]], k=2)
    expected = text_model.recommend(text_data.users.decode([5, 3]), k=2)
    expected["user_id"] = [0, 0, 1, 1]
    assert_rows(path, expected)


def test_one_batch_at_a_time_is_in_memory(text_model, tmp_path, monkeypatch) -> None:
    sizes: list[int] = []
    score = text_model._score_rows
    monkeypatch.setattr(
        text_model, "_score_rows", lambda matrix: (sizes.append(matrix.shape[0]), score(matrix))[1]
    )
    path = tmp_path / "top.parquet"
    text_model.export(path, k=2, batch_size=10)
    assert sizes == [10, 10, 10, 6]
    assert pq.read_metadata(path).num_row_groups == 1  # they are small


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), MemoryError()])
def test_a_failure_halfway_leaves_what_was_there(
    text_model, tmp_path, monkeypatch, there, error
) -> None:
    path = tmp_path / "top.parquet"
    if there:
        path.write_text("old")
    score, calls = text_model._score_rows, iter(range(9))

    def failing(matrix: sp.csr_matrix) -> object:
        if next(calls) == 2:
            raise error
        return score(matrix)

    monkeypatch.setattr(text_model, "_score_rows", failing)
    with pytest.raises(StorageError if isinstance(error, OSError) else MemoryError):
        text_model.export(path, k=2, batch_size=10, overwrite=True)
    assert next(calls) == 3  # two batches had been written
    assert [part.name for part in tmp_path.iterdir()] == (["top.parquet"] if there else [])
    assert not there or path.read_text() == "old"


def test_mistakes_touch_nothing(text_model, text_data, tmp_path) -> None:
    path = tmp_path / "top.parquet"
    path.write_text("old")
    for error, message, options in (
        (DataError, "unknown user 'who'", {"users": ["who"]}),
        (DataError, "none of .*'i99'", {"items": ["i99"]}),
        (DataError, "history has 9 item columns", {"history": text_data.matrix[:, :9]}),
        (ConfigError, "k .*>= 1, not 0", {"k": 0}),
        (ConfigError, "batch_size .* 0$", {"batch_size": 0}),
        (ConfigError, "unknown on_unknown", {"on_unknown": "ignore"}),
    ):
        with pytest.raises(error, match=message):
            text_model.export(path, overwrite=True, **options)
    with pytest.raises(NotFittedError, match="EASE .*fit"):
        EASE().export(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written(text_model, tmp_path) -> None:
    with pytest.raises(StorageError, match="folder .*absent .*not exist"):
        text_model.export(tmp_path / "absent" / "top.parquet")
    with pytest.raises(ConfigError) as caught:
        text_model.export(tmp_path / "top.csv")
    assert caught.value.parameter == "path"
    assert not list(tmp_path.iterdir())
    (tmp_path / "top.parquet").mkdir()
    with pytest.raises(StorageError, match="directory: .*file"):
        text_model.export(tmp_path / "top.parquet")


def test_scores_keep_every_bit(text_model, tmp_path) -> None:
    path = tmp_path / "top.parquet"
    text_model.export(path, k=5)
    stored = pq.read_table(path)["score"].to_numpy()
    expected = text_model.recommend(k=5)["score"].to_numpy()
    assert stored.dtype == np.float32 and stored.tobytes() == expected.tobytes()
