"""The comparison with an earlier commit, dry."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.speed import before
from recae.errors import ConfigError

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (before.ROOT / ".git").exists(),
    reason="earlier commits are read from git",
)


def test_both_sides_are_measured_and_are_other_packages(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(1)
    pairs = pd.DataFrame({"user": np.repeat(np.arange(50), 6), "item": rng.integers(0, 30, 300)})
    pairs.drop_duplicates().to_parquet(tmp_path / "train.parquet")
    few = ["--users", "40", "--rounds", "1", "--threads", "1", "--cases", "ranking"]
    assert before.main([str(tmp_path), "--commit", "HEAD", *few]) == 0
    said = capsys.readouterr().out
    assert "now / before: " in said and said.count("peak") == 2


def test_a_commit_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        before.unpack("nowhere", tmp_path)
    assert not list(tmp_path.iterdir())
