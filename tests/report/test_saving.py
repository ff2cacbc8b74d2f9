"""An entry on disk: it comes back whole, or it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import DataError
from recae.errors import StorageError
from recae.report import Entry


def same(a: Entry, b: Entry) -> None:
    for name in ("name", "tuning_seconds", "peak_gb", "published"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("fit_seconds", "epochs", "trials"):
        assert list(getattr(a, name)) == list(getattr(b, name))
    assert dict(a.provenance) == dict(b.provenance)
    assert len(a.reports) == len(b.reports)
    for one, other in zip(a.reports, b.reports, strict=True):
        assert one.model == other.model and one.provenance == other.provenance
        assert dict(one.catalogue) == dict(other.catalogue)
        pd.testing.assert_frame_equal(one.per_user, other.per_user)
        pd.testing.assert_frame_equal(one.users, other.users)
        pd.testing.assert_frame_equal(one.items, other.items)
        assert one.frame().loc["ndcg@5"].equals(other.frame().loc["ndcg@5"])


def test_an_entry_comes_back(full: list[Entry], tmp_path: Path) -> None:
    folder = full[0].save(tmp_path / "best")
    same(Entry.load(folder), full[0])
    assert folder == tmp_path / "best" and [p.name for p in tmp_path.iterdir()] == ["best"]
    assert {path.suffix for path in folder.iterdir()} == {".json", ".parquet"}


def test_a_bare_entry_comes_back(make, tmp_path: Path) -> None:
    loaded = Entry.load(make("ease", [0.5, np.nan, 0.7]).save(tmp_path / "ease"))
    assert loaded.value("ndcg@5") == pytest.approx(0.6)
    assert loaded.tuning_seconds is None and loaded.seconds is None and loaded.peak_gb is None
    assert list(loaded.epochs) == [] and dict(loaded.published) == {}


def test_what_is_no_number_becomes_none(make, tmp_path: Path) -> None:
    epochs = [{"number": np.int64(1), "loss": float("nan"), "metrics": {"ndcg@5": np.float32(0.5)}}]
    provenance = {"hidden": (600, 200), "beta": np.inf}
    folder = make("a", [0.5], epochs=epochs, provenance=provenance).save(tmp_path / "a")
    json.loads((folder / "entry.json").read_text(), parse_constant=pytest.fail)  # real JSON
    loaded = Entry.load(folder)
    assert loaded.epochs == [{"number": 1, "loss": None, "metrics": {"ndcg@5": 0.5}}]
    assert loaded.provenance == {"hidden": [600, 200], "beta": None}


def test_what_json_cannot_say_is_refused_and_nothing_is_written(make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' .*set .*JSON"):
        make("a", [0.5], provenance={"models": {1, 2}}).save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_an_entry_is_replaced_only_on_demand(make, tmp_path: Path) -> None:
    folder = make("a", [0.5]).save(tmp_path / "a")
    with pytest.raises(StorageError, match="overwrite=True"):
        make("a", [0.9]).save(folder)
    assert Entry.load(folder).value("ndcg@5") == 0.5
    make("a", [0.9]).save(folder, overwrite=True)
    assert Entry.load(folder).value("ndcg@5") == 0.9
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "diary.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"precious .*entry\.json"):
        make("a", [0.9]).save(tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "diary.txt").read_text() == "mine"


def test_a_failed_save_leaves_what_was_there(make, tmp_path: Path, monkeypatch) -> None:
    folder = make("a", [0.5]).save(tmp_path / "a")

    def full_disk(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(StorageError, match="No space"):
        make("a", [0.9]).save(folder, overwrite=True)
    monkeypatch.undo()
    assert Entry.load(folder).value("ndcg@5") == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(full: list[Entry], tmp_path: Path) -> Path:
    return full[0].save(tmp_path / "best")


def test_every_file_that_is_missing_is_missed(saved: Path, tmp_path: Path) -> None:
    names = files(saved)
    assert len(names) == 1 + 2 * 4  # of each seed the report and three tables
    for name in names:
        copy = tmp_path / "copy"
        shutil.copytree(saved, copy)
        (copy / name).unlink()
        with pytest.raises(StorageError, match=name.replace(".", r"\.")):
            Entry.load(copy)
        shutil.rmtree(copy)


def test_every_file_that_is_changed_is_noticed(saved: Path, tmp_path: Path) -> None:
    for name in files(saved):
        original = (saved / name).read_bytes()
        for damaged in (original[:-7], original[:50] + b"x" + original[51:], b""):
            (saved / name).write_bytes(damaged)
            with pytest.raises(StorageError, match="best.* (entry|loaded)"):
                Entry.load(saved)
        (saved / name).write_bytes(original)
    Entry.load(saved)


def test_a_figure_cannot_be_edited(saved: Path) -> None:
    file = saved / "entry.json"
    content = json.loads(file.read_text())
    content["entry"]["fit_seconds"][0] /= 10
    file.write_text(json.dumps(content))
    with pytest.raises(StorageError, match=r"entry\.json is .*saved"):
        Entry.load(saved)


def test_a_foreign_file_is_noticed(saved: Path) -> None:
    (saved / "report-3.json").write_text("{}")
    with pytest.raises(StorageError, match=r"report-3\.json .*entry: remove"):
        Entry.load(saved)


def test_another_format_says_who_wrote_it(saved: Path) -> None:
    content = json.loads((saved / "entry.json").read_text()) | {"format": 99, "recae": "7.0"}
    (saved / "entry.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match=r"format 99.*recae 7\.0"):
        Entry.load(saved)


@pytest.mark.parametrize(
    "text", ["[]", "3", '"x"', "{}", '{"format": 1}', '{"format": 1, "entry": 3}']
)
def test_other_json_is_no_entry(saved: Path, text: str) -> None:
    (saved / "entry.json").write_text(text)
    with pytest.raises(StorageError, match="entry.json"):
        Entry.load(saved)


def test_no_directory_is_no_entry(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no entry: .*entry\.json"):
        Entry.load(tmp_path / "nowhere")
    with pytest.raises(recae.ConfigError, match="path .*, not ''"):
        Entry.load("")


def test_an_entry_wants_reports(make) -> None:
    (report,) = make("a", [0.5]).reports
    for reports in (report, "report", [report, "report"], 3):
        with pytest.raises(recae.ConfigError, match="'a' .*list .*reports"):
            Entry("a", reports)
    with pytest.raises(recae.ConfigError, match="'a' .*fit_seconds"):
        Entry("a", [report], fit_seconds=3.5)


def test_unknown_seconds_count_nowhere(make, tmp_path: Path) -> None:
    entry = make("a", [0.5], fit_seconds=[1.0, float("nan"), 3.0])
    assert entry.seconds == 2.0
    assert Entry.load(entry.save(tmp_path / "a")).seconds == 2.0
    assert make("a", [0.5], fit_seconds=[float("nan")]).seconds is None
