"""What the guard of the nightly job stops, and what it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from tests.scripts.nightly.nights import ITEMS, PLAYS, USERS, House


def shifted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(item_id=(frame["item_id"] + 1) % ITEMS)


def permuted(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    count = {"user_id": USERS, "item_id": ITEMS}[column]
    moved = np.random.default_rng(1).permutation(count)
    return lambda frame: frame.assign(**{column: moved[frame[column]]})


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], set[str]]] = {
    "empty": (lambda frame: frame.head(0), {"rows"}),
    "half": (lambda frame: frame.head(len(frame) // 2), {"rows"}),
    "four times": (lambda frame: pd.concat([frame] * 4), {"rows"}),
    "other items": (permuted("item_id"), {"popular"}),
    "other users": (permuted("user_id"), {"repeats"}),
    "milliseconds": (lambda frame: frame.assign(timestamp=frame["timestamp"] * 1000), {"span"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_new_day_is_stopped(fault: str, house: House, capsys: Any) -> None:
    change, checks = FAULTS[fault]
    lists = (house.output / "current" / "lists" / "part-00000.parquet").read_bytes()
    house.day(7, change)
    assert house.run() == 10
    assert checks <= house.failed()
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and all(check in said for check in checks)
    assert house.current == "000002"
    assert (house.output / "current" / "lists" / "part-00000.parquet").read_bytes() == lists


WHOLE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], set[str]]] = {
    "shifted": (shifted, {"lost"}),
    "other users": (permuted("user_id"), {"lost"}),
    "a tenth is gone": (lambda frame: frame[frame["user_id"] % 10 > 0], {"lost"}),
}


@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_all_days_is_stopped(fault: str, house: House) -> None:
    change, checks = WHOLE[fault]
    for day in range(8):
        house.day(day, change)
    assert house.run() == 10
    assert checks <= house.failed()
    assert house.current == "000002"


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_mixed_up_ids_are_seen_where_no_pair_repeats_and_all_are_as_popular(
    column: str, house: House
) -> None:
    house.day(7, permuted(column))
    assert house.run("--accept", "repeats", "--accept", "popular") == 10
    assert "level" in house.failed()


def repeated(day: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A third of the rows are pairs of earlier days."""
    old = PLAYS[PLAYS["timestamp"] < 100 * day]
    again = old.sample(min(90, len(old)), random_state=day).assign(timestamp=100 * day + 50)
    return lambda new: pd.concat([new, again])


def test_pairs_that_always_repeat_are_usual(nightly: Any, tmp_path: Any) -> None:
    house = House(tmp_path / "house", nightly.main)
    for day in range(6):
        house.day(day, repeated(day))
    assert house.run() == 0
    for day in (6, 7):
        house.day(day, repeated(day))
        assert house.run() == 0
    (found,) = (c["found"] for c in house.night()["checks"] if c["check"] == "repeats")
    assert "0.333" in found  # 90 of 180 + 90


def test_nights_go_on_after_a_clock_was_wrong(house: House) -> None:
    house.day(7, lambda new: new.assign(timestamp=new["timestamp"] + 500))
    assert house.run() == 0
    house.day(8)
    assert house.run() == 0
    assert house.night()["judged_users"] > USERS / 2


def test_a_time_long_ago_counts_into_the_span(house: House) -> None:
    house.day(
        7, lambda new: new.assign(timestamp=new["timestamp"].where(new["user_id"] > 2, -9999))
    )
    assert house.run() == 10
    assert "span" in house.failed()


def test_half_of_a_day_whose_times_are_equal_is_judged(
    house: House, judged: list[tuple[Any, Any]]
) -> None:
    house.day(7, lambda new: new.assign(timestamp=700))
    assert house.run() == 0
    (tonight, fold), (yesterday, _), _ = judged
    new = int((PLAYS["timestamp"] // 100 == 7).sum())
    assert fold.target.nnz == pytest.approx(new / 2, abs=3)  # but for new items
    assert tonight.nnz - yesterday.nnz == new - new // 2
    # Of a user some new pairs are targets, and others are in the history.
    history, target = (some.matrix.getnnz(axis=1) for some in (fold.history, fold.target))
    assert ((history > 21) & (target > 0)).sum() > USERS / 4


def test_a_known_day_may_grow_but_not_without_limit(house: House) -> None:
    double = PLAYS[PLAYS["timestamp"] // 100 == 8]
    house.day(6, lambda known: pd.concat([known, double]))
    assert house.run() == 0
    house.day(6, lambda known: pd.concat([known, *[double] * 3]))
    assert house.run() == 10
    assert house.failed() == {"rows"}


@pytest.mark.parametrize(("loss", "passed"), [(0.005, True), (0.02, False), (-0.02, True)])
def test_a_loss_that_is_shown_and_tiny_stops_no_night(
    loss: float, passed: bool, nightly: Any
) -> None:
    guard = import_module("nightly_guard")
    night, rng = guard.Night([], []), np.random.default_rng(0)
    users = pd.Index(np.arange(20_000))
    before = rng.uniform(0.2, 0.4, len(users))
    after = before - 0.3 * loss + rng.normal(0, 0.01, len(users))
    night.reports = {
        name: recae.Report(name, pd.DataFrame({"ndcg@20": values}, index=users))
        for name, values in (("tonight", after), ("yesterday", before))
    }
    row = recae.compare(night.reports, "ndcg@20").iloc[0]
    assert row["better"] == ("yesterday" if loss > 0 else "tonight")
    guard.check_models(nightly.Job("plays", "out"), night, first=False)
    assert {c["check"]: c["passed"] for c in night.checks}["loss"] == passed
