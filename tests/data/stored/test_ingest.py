"""`recae.ingest` gives the matrix of the readers in memory, bit for bit, in little memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae.data.stored import coding, passes
from recae.data.tables.files import ParquetSource


def table(text: bool, rows: int = 4000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 300, rows), rng.integers(0, 80, rows)
    return pd.DataFrame(
        {
            "user_id": [f"ü{user}" for user in users] if text else users - 150,
            "item_id": [f"{item}" for item in items] if text else items,
            "weight": rng.integers(1, 6, rows).astype(np.float32),
            "timestamp": rng.integers(0, 50, rows),
        }
    )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, runs of ids and parts so small that a small table has many of each."""
    monkeypatch.setattr(ParquetSource, "block", 257)
    monkeypatch.setattr(coding, "INT_BYTES", 1 << 20)
    monkeypatch.setattr(coding, "TEXT_BYTES", 1 << 20)
    monkeypatch.setattr(coding, "RUN_BLOCK", 7)
    monkeypatch.setattr(passes, "ROW_BYTES", (1 << 28) // 100)


def assert_same(stored: recae.Interactions, read: recae.Interactions) -> None:
    for part in ("data", "indices", "indptr"):
        one, two = (getattr(some.matrix, part) for some in (stored, read))
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    assert (stored.times is None) == (read.times is None)
    if read.times is not None:
        np.testing.assert_array_equal(stored.times, read.times)
    for what in ("users", "items"):
        one, two = (getattr(some, what).ids for some in (stored, read))
        assert one.dtype == two.dtype and one.tolist() == two.tolist()
    assert stored.weighted == read.weighted


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("duplicates", ["last", "first", "sum", "max"])
@pytest.mark.parametrize("min_weight", [None, 4.0, 5.0])
@pytest.mark.filterwarnings("ignore::recae.errors.RepeatedRows")
def test_many_runs_and_parts_give_the_matrix_of_the_reader(
    text: bool, duplicates: str, min_weight: float | None, tiny: None, tmp_path: Path
) -> None:
    table(text).to_parquet(tmp_path / "plays.parquet", row_group_size=1000)
    options: dict[str, Any] = {"duplicates": duplicates, "min_weight": min_weight}
    read = recae.read_parquet(tmp_path / "plays.parquet", **options)
    stored = recae.ingest(tmp_path / "plays.parquet", tmp_path / "data", memory=1 << 28, **options)
    assert_same(stored, read)
    opened = recae.open_data(tmp_path / "data", verify=True)
    assert_same(opened, read)
    assert opened.fingerprint() == read.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "plays.parquet"]
