"""Planted plays, and a folder with days of them and a nightly job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy"
USERS, ITEMS, DAYS = 60, 200, 9


def plays() -> pd.DataFrame:
    """Two groups of users, each with items of its own, some more popular than others. A user has 3
    on each day, and no item twice."""
    rng, rows = np.random.default_rng(0), []
    half = ITEMS // 2
    weights = 1 / (3 + np.arange(half))
    for user in range(USERS):
        own = rng.choice(half, 3 * DAYS, replace=False, p=weights / weights.sum())
        for place, item in enumerate(rng.permutation(own)):
            day = place % DAYS
            rows.append((user, item * 2 + user % 2, 1 + item % 5, day * 100 + rng.integers(100)))
    return pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "timestamp"])


PLAYS = plays()


class House:
    """A folder with days of input, and the job."""

    def __init__(self, folder: Path, main: Callable[..., int], settings: str = "") -> None:
        self.folder, self.main = folder, main
        self.input, self.output = folder / "plays", folder / "out"
        self.input.mkdir(parents=True)
        self.job = folder / "job.toml"
        self.job.write_text(f'input = "plays"\noutput = "out"\nk = 5\n{settings}')

    def day(self, day: int, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda x: x) -> None:
        rows = PLAYS[PLAYS["timestamp"] // 100 == day]
        change(rows).to_parquet(self.input / f"day-{day}.parquet", index=False)

    def days(self, last: int) -> None:
        for day in range(last + 1):
            self.day(day)

    def run(self, *more: str) -> int:
        return self.main(["run", str(self.job), *more])

    @property
    def current(self) -> str:
        return (self.output / "current").resolve().name

    def night(self, folder: str = "current") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / folder / "night.json").read_text())
        return found

    def failed(self) -> set[str]:
        """The checks that failed in the last night that was stopped."""
        last = sorted((self.output / "stopped").iterdir())[-1].name
        return {c["check"] for c in self.night(f"stopped/{last}")["checks"] if not c["passed"]}
