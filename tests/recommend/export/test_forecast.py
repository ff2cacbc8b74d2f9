"""Forecasts of an export, beside what the export then writes. Seconds are not tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError
from recae.recommend.export import forecast as forecasts
from recae.system.machine import total_memory


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WARM", "SHORT", "LONG"):
        monkeypatch.setattr(forecasts, name, getattr(forecasts, name) / 10)


@pytest.fixture(scope="module")
def data() -> recae.Interactions:
    """6,000 users of 400 items, popular ones first; the first half of the users have more."""
    rng = np.random.default_rng(0)
    lengths = np.where(np.arange(6000) < 3000, 20, 5)
    columns = (400 * rng.random(lengths.sum()) ** 2).astype(np.int64)
    cells = np.ones(len(columns), np.float32), (np.repeat(np.arange(6000), lengths), columns)
    matrix = sp.csr_matrix(cells, shape=(6000, 400))
    matrix.data[:] = 1
    return recae.Interactions.from_csr(matrix)


@pytest.fixture(scope="module")
def model(data: recae.Interactions) -> recae.EASE:
    return recae.EASE(l2=50.0).fit(data)


def written(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("options", [{}, {"checkpoint": "parts"}, {"titles": {3: "Alien"}}])
def test_rows_and_bytes_are_those_of_the_export(model, data, tmp_path, options) -> None:
    path = tmp_path / ("lists.parquet" if "checkpoint" in options else "lists")
    options = {name: tmp_path / v if v == "parts" else v for name, v in options.items()}
    found = model.export(path, data, k=20, dry_run=True, **options)
    assert [*tmp_path.iterdir()] == []
    rows = model.export(path, data, k=20, **options)
    assert (found.users, found.rows) == (6000, rows)
    assert 0.75 < found.bytes / written(path) < 1.25
    assert found.seconds > 0 and 0 < found.sampled <= 6000
    assert found.users_per_second == pytest.approx(6000 / found.seconds)
    assert 1e7 < found.memory < total_memory()
    assert "6,000 users" in str(found) and f"{rows:,} rows" in str(found)


def test_rows_of_short_lists_are_estimated(model, data, tmp_path) -> None:
    """Only 8 items are allowed, and the first half of the users have seen more of them."""
    found = model.export(tmp_path / "lists", data, k=20, items=range(8), dry_run=True)
    rows = model.export(tmp_path / "lists", data, k=20, items=range(8))
    assert rows < 8 * 6000 and found.rows == pytest.approx(rows, rel=0.1)


def test_a_larger_group_shares_its_dictionary(model, data, tmp_path, monkeypatch) -> None:
    """A sample of a fifteenth: its row group has nearly as many different items, and fewer rows."""
    path = tmp_path / "lists.parquet"
    with monkeypatch.context() as patch:
        for name in ("WARM", "SHORT", "LONG"):
            patch.setattr(forecasts, name, 1e-9)
        patch.setattr(forecasts, "FEWEST", 400)
        found = model.export(path, data, k=20, dry_run=True)
    assert found.sampled < 800
    model.export(path, data, k=20)
    assert 0.75 < found.bytes / written(path) < 1.25


@pytest.mark.parametrize("users", [[], [17], [3, 17, 3]])
def test_few_users(model, data, tmp_path, users: list[Any]) -> None:
    found = model.export(tmp_path / "lists", data, k=20, users=users, dry_run=True)
    assert (found.users, found.rows) == (len(users), 20 * len(users))
    assert found.sampled == len(users) and not (tmp_path / "lists").exists()


def test_what_a_dry_run_refuses(model, data, tmp_path) -> None:
    with pytest.raises(ConfigError) as error:
        model.export(tmp_path / "lists", data, dry_run=True, since=tmp_path / "old")
    assert error.value.parameter == "since"
    with pytest.raises(ConfigError) as error:
        model.export(tmp_path / "lists", data, dry_run="yes")  # type: ignore[call-overload]
    assert error.value.parameter == "dry_run"
    with pytest.raises(ConfigError, match=r"\.parquet"):
        model.export(tmp_path / "lists.csv", data, dry_run=True)
