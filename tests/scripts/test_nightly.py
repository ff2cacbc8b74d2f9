"""The nightly job of docs/deploy: bad nights, kills at every step, two at once, rollback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
USERS, ITEMS, DAYS = 60, 200, 9


@pytest.fixture(scope="module")
def nightly() -> Iterator[Any]:
    """The script; its pages have no charts, which take longer than such a night."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(DEPLOY)
        patched.setattr("recae.report.page.can_draw", lambda: False)
        yield import_module("nightly")


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


@pytest.fixture(scope="module")
def two_nights(nightly: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good nights, to be copied."""
    house = House(tmp_path_factory.mktemp("nights") / "two", nightly.main)
    house.days(5)
    assert house.run() == 0
    house.day(6)
    assert house.run() == 0
    return house.folder


@pytest.fixture
def house(two_nights: Path, nightly: Any, tmp_path: Path) -> House:
    shutil.copytree(two_nights, tmp_path / "a house, 100 %", symlinks=True)
    new = House(tmp_path / "empty", nightly.main)
    new.folder = tmp_path / "a house, 100 %"
    new.input, new.output = new.folder / "plays", new.folder / "out"
    new.job = new.folder / "job.toml"
    return new


def test_a_good_night_is_the_model_and_the_lists_of_all_data(house: House) -> None:
    house.day(7)
    assert house.run() == 0
    assert house.current == "000003"
    rows = PLAYS[PLAYS["timestamp"] < 800]
    wanted = recae.EASE().fit(recae.Interactions.from_frame(rows))
    found = recae.load(house.output / "current" / "model", recae.Recommender)
    assert found.fingerprint() == wanted.fingerprint()
    lists = pd.read_parquet(house.output / "current" / "lists")
    assert lists["user_id"].nunique() == USERS
    assert not len(lists.merge(rows, on=["user_id", "item_id"]))
    night = house.night()
    assert all(check["passed"] for check in night["checks"])
    assert night["days"] == {f"day-{d}.parquet": int((rows.timestamp // 100 == d).sum())
                             for d in range(8)}  # fmt: skip
    for name in ("report.md", "report.html"):
        assert (house.output / "current" / name).stat().st_size > 200


def test_the_targets_are_pairs_that_no_judged_model_has_seen(
    house: House, nightly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = []
    evaluate = recae.evaluate

    def kept(model: Any, fold: Any, *rest: Any, **more: Any) -> Any:
        folds.append((model.history_, fold))
        return evaluate(model, fold, *rest, **more)

    monkeypatch.setattr(recae, "evaluate", kept)
    again = PLAYS[PLAYS["timestamp"] // 100 == 3].assign(timestamp=lambda x: x.timestamp + 400)
    house.day(7, lambda new: pd.concat([new, again.head(3)]))  # three pairs come again
    assert house.run() == 0
    (tonight, fold), (yesterday, same), (_, last) = folds
    assert fold is same is last
    targets = fold.target.to_frame()[["user_id", "item_id"]]
    new = PLAYS[PLAYS["timestamp"] // 100 == 7]
    assert len(targets) == pytest.approx(len(new) / 2, abs=2)
    assert len(targets.merge(new)) == len(targets)
    for model in (tonight, yesterday):
        assert not len(targets.merge(model.to_frame()[["user_id", "item_id"]]))
    # Tonight's has seen all that is not a target; yesterday's, the days before.
    assert tonight.nnz == (PLAYS["timestamp"] < 800).sum() - len(targets)
    assert yesterday.nnz == (PLAYS["timestamp"] < 700).sum()


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
    assert house.run() == 1
    assert checks <= house.failed()
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and all(check in said for check in checks)
    assert house.current == "000002"
    assert (house.output / "current" / "lists" / "part-00000.parquet").read_bytes() == lists


def test_a_mended_night_passes(house: House) -> None:
    house.day(7, permuted("item_id"))
    assert house.run() == 1
    assert house.run() == 1
    assert len([*(house.output / "stopped").iterdir()]) == 1  # the same night, reported once
    house.day(7)
    assert house.run() == 0
    assert house.current == "000004"


WHOLE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], set[str]]] = {
    "shifted": (shifted, {"lost"}),
    "other items": (permuted("item_id"), {"lost"}),
    "other users": (permuted("user_id"), {"lost"}),
    "a tenth is gone": (lambda frame: frame[frame["user_id"] % 10 > 0], {"lost"}),
}


@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_all_days_is_stopped(fault: str, house: House) -> None:
    change, checks = WHOLE[fault]
    for day in range(8):
        house.day(day, change)
    assert house.run() == 1
    assert checks <= house.failed()
    assert house.current == "000002"


def test_a_worse_model_is_stopped_unless_it_is_accepted(house: House) -> None:
    house.day(7)
    house.job.write_text(house.job.read_text() + "model = 'random'\n")
    assert house.run() == 1
    assert house.failed() == {"loss"}
    assert house.run("--accept", "loss", "--accept", "overlap", "--accept", "final") == 0
    assert house.night()["accepted"] == ["final", "loss", "overlap"]


def test_a_night_that_is_run_twice_does_nothing_twice(house: House, capsys: Any) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in house.output.rglob("versions/*"))
    for file in house.input.iterdir():
        os.utime(file, (1, 1))  # copied again
    assert house.run() == 0
    assert before == sorted((p, p.stat().st_mtime_ns) for p in house.output.rglob("versions/*"))
    assert "000002" in capsys.readouterr().out


def test_a_night_without_new_data_is_told_after_a_while(house: House) -> None:
    file = house.output / "current" / "night.json"
    night = house.night()
    date = datetime.fromisoformat(night["date"]) - timedelta(hours=37)
    file.write_text(json.dumps(night | {"date": date.isoformat()}))
    assert house.run() == 1
    assert house.failed() == {"hours"}
    assert house.run("--accept", "hours") == 0
    assert house.current == "000002"


def test_a_version_that_was_rolled_back_stays_so(house: House, nightly: Any) -> None:
    assert nightly.main(["rollback", str(house.job)]) == 0
    assert house.current == "000001"
    assert house.run() == 0
    assert house.current == "000001"
    house.day(7)
    assert house.run() == 0  # two days are new
    assert house.current == "000003"
    assert house.night()["against"] == "000001"
    assert nightly.main(["rollback", str(house.job)]) == 0
    assert house.current == "000001"
    assert nightly.main(["rollback", str(house.job)]) == 3
    assert house.current == "000001"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100)])
def test_a_file_that_is_not_complete_stops_the_night(
    content: bytes, house: House, capsys: Any
) -> None:
    (house.input / "day-7.parquet").write_bytes(content)
    assert house.run() == 3
    assert "day-7.parquet" in capsys.readouterr().err
    assert house.current == "000002"


def test_old_versions_are_deleted_and_the_current_one_stays(house: House, nightly: Any) -> None:
    house.job.write_text("keep = 1\n" + house.job.read_text())
    house.day(7)
    assert house.run() == 0
    assert [path.name for path in (house.output / "versions").iterdir()] == ["000003"]
    assert nightly.main(["rollback", str(house.job)]) == 3


def test_the_second_of_two_runs_is_refused(house: House, nightly: Any, capsys: Any) -> None:
    house.day(7)
    with nightly.Place(house.output).locked():
        assert house.run() == 75
        assert nightly.main(["rollback", str(house.job)]) == 75
    assert house.current == "000002"
    assert house.run() == 0


BAD = {
    "an unknown setting": "modle = 'ease'",
    "another type": "keep = 'all'",
    "a flag for a number": "keep = true",
    "out of range": "keep = 0",
    "an unknown limit": "[guard]\ndorp = 0.1",
    "no TOML": "keep =",
    "an unknown model": "model = 'eese'",
    "an unknown hyperparameter": "settings = {l3 = 1}",
    "an unknown argument": "read = {users = 'a'}",
    "an unknown rule": "rules = {blok = [1]}",
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_wrong_setting_is_named(wrong: str, house: House, capsys: Any) -> None:
    house.day(7)
    house.job.write_text(house.job.read_text() + BAD[wrong])
    assert house.run() == 2
    assert "Traceback" not in capsys.readouterr().err
    assert house.current == "000002"


# Kills.

LASTING = ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir")
"""The calls by which a night changes what is on the disk, but for the content of files."""


def died_at(place: int, main: Callable[[], int]) -> int:
    """Runs main in a fork that dies, as by SIGKILL, just before the n-th of these calls; its exit
    code, 9 if it has died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == place:
                os._exit(9)
            return call(*given, **more)

        return one

    code = 1
    try:
        for name in LASTING:
            setattr(os, name, counted(getattr(os, name)))
        code = main()
    finally:
        os._exit(code)


def left_behind(house: House) -> tuple[Any, ...]:
    """What a night leaves: the versions, the model and the lists of the current one, no more."""
    current = house.output / "current"
    export = recae.open_export(current / "lists")
    export.verify()
    return (
        house.current,
        sorted(path.name for folder in (house.output, current) for path in folder.iterdir()),
        sorted(path.name for path in (house.output / "versions").iterdir()),
        recae.load(current / "model", recae.Recommender).fingerprint(),
        [part["sha256"] for part in export.manifest["parts"]],
    )


def killed_at(place: int, house: House, before: Path) -> bool:
    """A night that is killed at a place and run again; whether it got there at all. `current` must
    lead to a complete version at any time."""
    shutil.rmtree(house.output)
    shutil.copytree(before, house.output, symlinks=True)
    died = died_at(place, house.run) == 9
    left_behind(house)
    assert house.run() == 0
    return died


@pytest.fixture
def right(house: House, tmp_path: Path) -> tuple[Path, tuple[Any, ...]]:
    """The output before the night of the seventh day, and what that night leaves behind."""
    house.job.write_text("keep = 2\n" + house.job.read_text())
    house.day(7)
    before = tmp_path / "before"
    shutil.copytree(house.output, before, symlinks=True)
    assert house.run() == 0
    return before, left_behind(house)


PLACES = [30, 85, 102, 107]


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_night_is_resumed(
    place: int, house: House, right: tuple[Path, tuple[Any, ...]]
) -> None:
    assert killed_at(place, house, right[0])
    assert left_behind(house) == right[1]


@pytest.mark.slow
def test_a_night_may_be_killed_anywhere(house: House, right: tuple[Path, tuple[Any, ...]]) -> None:
    place = 1
    while killed_at(place, house, right[0]):
        assert left_behind(house) == right[1], place
        place += 1
    assert place > 50, place
    print(place)
