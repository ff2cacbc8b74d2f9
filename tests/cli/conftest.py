"""A planted table, in a folder of its own that the commands run in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

USERS, BLOCK = 60, 12


@pytest.fixture
def plays() -> pd.DataFrame:
    """60 users of two tastes: even ones have 8 of the items 100..111, odd ones of 112..123."""
    rng = np.random.default_rng(1)
    rows = [
        (user, 100 + item + BLOCK * (user % 2), 1000 + step)
        for user in range(USERS)
        for step, item in enumerate(rng.choice(BLOCK, size=8, replace=False))
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plays: pd.DataFrame) -> Path:
    """The current folder, with those users in plays.parquet."""
    plays.to_parquet(tmp_path / "plays.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path
