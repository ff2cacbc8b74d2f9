"""The nightly job of docs/deploy: good nights, bad nights, two at once, rollback."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
import warnings
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from recae.serve import Shelf
from tests.scripts.nightly.nights import DEPLOY, ITEMS, PLAYS, USERS, House


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
    house: House, judged: list[tuple[Any, Any]]
) -> None:
    again = PLAYS[PLAYS["timestamp"] // 100 == 3].assign(timestamp=lambda x: x.timestamp + 400)
    house.day(7, lambda new: pd.concat([new, again.head(1)]))  # one pair comes again
    assert house.run() == 0
    (tonight, fold), (yesterday, same), (_, last) = judged
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


def test_a_mended_night_passes(house: House) -> None:
    house.day(7, lambda new: new.assign(item_id=ITEMS - 1 - new["item_id"]))
    assert house.run() == 10
    assert house.run() == 10
    assert len([*(house.output / "stopped").iterdir()]) == 1  # the same night, reported once
    house.day(7)
    assert house.run() == 0
    assert house.current == "000004"


def test_a_worse_model_is_stopped_unless_it_is_accepted(house: House) -> None:
    house.day(7)
    house.job.write_text(house.job.read_text() + "model = 'random'\n")
    assert house.run() == 10
    assert house.failed() == {"level", "loss"}
    accepted = ["final", "level", "loss", "overlap"]
    assert house.run(*(word for name in accepted for word in ("--accept", name))) == 0
    assert house.night()["accepted"] == accepted


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
    assert house.run() == 10
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


def test_a_rollback_after_another_still_has_a_version_before(house: House, nightly: Any) -> None:
    house.job.write_text("keep = 2\n" + house.job.read_text())
    assert nightly.main(["rollback", str(house.job)]) == 0
    house.day(7)
    assert house.run() == 0
    assert house.current == "000003"
    assert nightly.main(["rollback", str(house.job)]) == 0
    assert house.current == "000001"


def test_a_rollback_that_was_killed_is_finished_once(house: House, nightly: Any) -> None:
    house.day(7)
    assert house.run() == 0
    (house.output / "versions" / "000003" / "rolled-back").touch()  # and killed before the swap
    assert nightly.main(["rollback", str(house.job)]) == 0
    assert house.current == "000002"


def test_a_rollback_leaves_the_served_version_though_a_killed_run_had_a_newer_one(
    house: House, nightly: Any
) -> None:
    newer = house.output / "versions" / "000003"
    shutil.copytree(house.output / "versions" / "000002", newer)
    assert nightly.main(["rollback", str(house.job)]) == 0
    assert house.current == "000001"


def test_a_folder_that_was_moved_aside_is_no_version(house: House) -> None:
    versions = house.output / "versions"
    (versions / "000001").rename(versions / "000001.damaged")
    house.day(7)
    assert house.run() == 0
    assert house.current == "000003"


def test_a_night_is_good_though_old_files_cannot_be_deleted(
    house: House, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, ignore_errors: bool = False) -> None:
        raise PermissionError(13, "not yours", str(path))

    house.day(7)
    with monkeypatch.context() as patched:
        patched.setattr("nightly.Place.prune", lambda self, keep: refuse(self.folder))
        assert house.run() == 0
    assert house.current == "000003"
    assert "not yours" in capsys.readouterr().err


def test_an_input_that_cannot_be_read_does_not_undo_the_work_of_a_killed_run(house: House) -> None:
    fit = house.output / "work" / "fit.checkpoint"
    fit.parent.mkdir(exist_ok=True)
    fit.touch()
    (house.input / "day-7.parquet").write_bytes(b"PAR1")
    assert house.run() == 3
    assert fit.exists()


def test_the_input_may_be_a_data_folder(house: House) -> None:
    shutil.rmtree(house.output)
    recae.ingest(house.input, house.folder / "data", progress=False)
    house.job.write_text(house.job.read_text().replace('"plays"', '"data"'))
    assert house.run() == 0
    assert house.night()["list_users"] == USERS


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


def test_a_service_follows_the_link(house: House, nightly: Any) -> None:
    shelf = Shelf({"films": house.output / "current" / "model"})
    before = shelf.get().version
    house.day(7)
    assert house.run() == 0
    (reload,) = shelf.refresh()
    assert reload.error is None
    new = recae.load(house.output / "versions" / "000003" / "model", recae.Recommender)
    assert shelf.get().version == new.fingerprint() != before
    assert shelf.refresh() == []
    assert nightly.main(["rollback", str(house.job)]) == 0
    shelf.refresh()
    assert shelf.get().version == before


def test_between_fits_a_model_only_gets_the_new_histories(house: House) -> None:
    house.job.write_text("refit = 2\n" + house.job.read_text())
    # The version before was fitted that night; this one keeps its model, the next is fitted.
    before = recae.load(house.output / "current" / "model", recae.Recommender).fingerprint()
    for day, same in ((7, True), (8, False)):
        house.day(day)
        assert house.run() == 0
        model = recae.load(house.output / "current" / "model", recae.Recommender)
        assert (model.fingerprint() == before) == same
        seen = PLAYS[PLAYS["timestamp"] < 100 * (day + 1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", recae.RecaeWarning)  # of items newer than the model
            wanted = model.recommend(k=5, history=recae.Interactions.from_frame(seen))
        lists = pd.read_parquet(house.output / "current" / "lists")
        pd.testing.assert_frame_equal(lists[["user_id", "item_id"]], wanted[["user_id", "item_id"]])


def test_the_nights_of_movielens(nightly: Any, tmp_path: Path) -> None:
    frame = recae.load_dataset().interactions.to_frame()
    years = pd.to_datetime(frame["timestamp"], unit="s").dt.year
    settings = 'model = "pure-svd"\nsettings = {latent = 8}\n[guard]\nusers = 5\nspan = 1.5\n'
    house = House(tmp_path / "films", nightly.main, settings)
    for year in sorted(set(years))[:-1]:
        frame[years == year].to_parquet(house.input / f"{year}.parquet")
    assert house.run() == 0
    frame[years == years.max()].to_parquet(house.input / "last.parquet")
    assert house.run() == 0
    lists = pd.read_parquet(house.output / "current" / "lists")
    assert lists.groupby("user_id").size().eq(5).sum() == frame["user_id"].nunique()
    assert not len(lists.merge(frame, on=["user_id", "item_id"]))


BAD = {
    "an output in the input": "output = 'plays/out'",
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
    "an empty path": "input = ''",
    "a path to read": "read = {path = 'plays'}",
    "a metric without users": "[guard]\nmetric = 'coverage@20'",
    "a metric of which less is better": "[guard]\nmetric = 'popularity@20'",
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_wrong_setting_is_named(wrong: str, house: House, capsys: Any) -> None:
    house.day(7)
    kept = [x for x in house.job.read_text().splitlines() if x.split()[0] != BAD[wrong].split()[0]]
    house.job.write_text("\n".join([*kept, BAD[wrong]]))
    assert house.run() == 2
    assert "Traceback" not in capsys.readouterr().err
    assert house.current == "000002"


@pytest.mark.parametrize("name", ["nightly_airflow", "nightly_dagster"])
def test_a_sketch_compiles_and_calls_what_there_is(name: str) -> None:
    text = (DEPLOY / f"{name}.py").read_text(encoding="utf-8")
    compile(text, name, "exec")
    assert "nightly.py" in text and "job.toml" in text


def test_the_page_names_every_check_and_setting(nightly: Any) -> None:
    page = (DEPLOY.parent / "nightly.md").read_text(encoding="utf-8")
    settings = {field.name for kind in (nightly.Job, nightly.Guard) for field in fields(kind)}
    assert [name for name in nightly.CHECKS if f"`{name}`" not in page] == []
    assert [name for name in sorted(settings) if name not in page] == []
    shown = tomllib.loads(page.partition("```toml")[2].partition("```")[0])
    assert {*shown} <= settings
    for code in set(nightly.CODES.values()) - {2, 5, 130}:
        assert f"ode {code}" in page, code
