"""A search that is killed goes on as if it had not been; a foreign folder is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError
from recae.errors import StorageError

SPACE = {"quality": (0.0, 1.0), "width": (1, 4), "kind": ["a", "b"]}


class Killed(BaseException):
    """Nothing in recae expects it."""


@pytest.fixture
def kill_at(planted, monkeypatch):
    """Makes a fit or a write die at its nth call, once."""

    def kill(owner: object, name: str, at: int) -> None:
        untouched, calls = getattr(owner, name), iter(range(10**6))

        def dying(*arguments: object, **options: object) -> object:
            if next(calls) == at:
                raise Killed
            return untouched(*arguments, **options)

        monkeypatch.setattr(owner, name, dying)

    return kill


def without_time(tuning: recae.tuning.Tuning) -> pd.DataFrame:
    return tuning.trials.drop(columns="seconds")


@pytest.mark.parametrize(("sampler", "at"), [("random", 4), ("tpe", 0), ("tpe", 1), ("tpe", 11)])
def test_a_search_that_is_killed_in_a_fit_goes_on(planted, kill_at, tmp_path, sampler, at) -> None:
    options = {"trials": 14, "space": SPACE, "sampler": sampler}
    whole = planted.tune(planted.Flat(breaks=0.8, warns=0.9), **options)
    kill_at(planted.Flat, "_fit", at)
    again = {**options, "folder": tmp_path / "search"}
    with pytest.raises(Killed):
        planted.tune(planted.Flat(breaks=0.8, warns=0.9), **again)
    resumed = planted.tune(planted.Flat(breaks=0.8, warns=0.9), **again)
    pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))
    assert resumed.params == whole.params and resumed.value == whole.value
    some = planted.train
    assert np.array_equal(resumed.model.score(some), whole.model.score(some))


@pytest.fixture(scope="module")
def kept() -> list[recae.tuning.Tuning]:
    return []


@pytest.fixture
def whole(planted, kept) -> recae.tuning.Tuning:
    """A search that nothing kills, made once."""
    if not kept:
        kept.append(planted.tune(planted.Flat(breaks=0.6), trials=6, space=SPACE))
    return kept[0]


@pytest.mark.parametrize("written", ["nothing", "half", "all"])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 6, 7, 8, 9, 15, 16, 17, 30])
def test_a_search_that_is_killed_while_writing_goes_on(
    planted, whole, tmp_path, monkeypatch, at: int, written: str
) -> None:
    from optuna.storages.journal import JournalFileBackend

    options = {"trials": 6, "space": SPACE, "folder": tmp_path / "search"}
    journal = tmp_path / "search" / "journal.jsonl"
    untouched, calls = JournalFileBackend.append_logs, iter(range(10**6))

    def dying(self: JournalFileBackend, logs: list[dict]) -> None:
        at_last, before = next(calls) == at, journal.stat().st_size
        untouched(self, logs)
        if at_last:
            after = journal.stat().st_size
            size = {"nothing": before, "half": (before + after) // 2, "all": after}[written]
            with open(journal, "r+b") as file:
                file.truncate(size)
            journal.with_name("journal.jsonl.lock").symlink_to(journal)  # it had the lock
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(JournalFileBackend, "append_logs", dying)
        with pytest.raises(Killed):
            planted.tune(planted.Flat(breaks=0.6), **options)
    resumed = planted.tune(planted.Flat(breaks=0.6), **options)
    pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))
    names = {path.name for path in (tmp_path / "search").iterdir() if path.name[0] != "."}
    assert names == {"journal.jsonl", f"best-{_best(whole)}"}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_search_that_is_killed_while_saving_a_model_goes_on(
    planted, kill_at, tmp_path, at: int
) -> None:
    options = {"trials": 6, "space": SPACE, "folder": tmp_path / "search"}
    whole = planted.tune(planted.Flat(), **{**options, "folder": None})
    kill_at(recae.Recommender, "save", at)
    with pytest.raises(Killed):
        planted.tune(planted.Flat(), **options)
    resumed = planted.tune(planted.Flat(), **options)
    pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))


def test_a_finite_space_is_resumed_to_its_end(planted, kill_at, tmp_path) -> None:
    options = {"trials": 50, "space": {"kind": ["a", "c"], "width": (1, 3)}}
    whole = planted.tune(planted.Flat(width=2), **options)
    kill_at(planted.Flat, "_fit", 4)
    with pytest.raises(Killed):
        planted.tune(planted.Flat(width=2), **options, folder=tmp_path / "search")
    for _ in range(2):
        resumed = planted.tune(planted.Flat(width=2), **options, folder=tmp_path / "search")
        pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))


def test_the_folder_holds_lines_of_json_and_no_pickles(planted, tmp_path) -> None:
    planted.tune(planted.Flat(), trials=8, folder=tmp_path / "search")
    files = [path for path in (tmp_path / "search").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".jsonl", ".json", ".safetensors", ".parquet", ".md"}
    for line in (tmp_path / "search" / "journal.jsonl").read_text("utf-8").splitlines():
        assert isinstance(json.loads(line), dict)


def test_halving_goes_on_with_the_rungs_of_before(planted, kill_at, tmp_path) -> None:
    options = {"trials": 12, "space": {"quality": (0.0, 0.9)}}
    whole = planted.tune(planted.Curve(), **options)
    kill_at(planted.Curve, "_fit", 7)
    with pytest.raises(Killed):
        planted.tune(planted.Curve(), **options, folder=tmp_path / "search")
    resumed = planted.tune(planted.Curve(), **options, folder=tmp_path / "search")
    pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))
    assert {"pruned", "complete"} == set(resumed.trials["state"])


def test_a_real_training_goes_on_and_is_fitted_again_as_before(movies, tmp_path) -> None:
    template = recae.MultVAE(latent=4, hidden=(8,), epochs=4, batch_size=50)
    arguments = (template, movies.train, movies.validation)
    options = {"space": {"lr": (1e-3, 0.1), "hidden": (4, 64)}, "folder": tmp_path / "search"}
    first = recae.tune(*arguments, trials=3, **options)
    model = first.model
    loaded = recae.tune(*arguments, trials=3, **options)  # nothing is left to do
    pd.testing.assert_frame_equal(loaded.trials, first.trials)
    some = movies.train.select_users(np.arange(4))
    assert np.array_equal(loaded.model.score(some), model.score(some))
    assert loaded.model.recommend(k=1).equals(model.recommend(k=1))  # it has its history
    assert np.array_equal(
        loaded.refit(movies.train).score(some), first.refit(movies.train).score(some)
    )
    assert repr(recae.load(tmp_path / "search" / f"best-{_best(first)}")) == repr(model)


def _best(tuning: recae.tuning.Tuning) -> int:
    return int(tuning.trials["value"].argmax())


def test_what_is_left_of_the_budget_is_spent(planted, kill_at, tmp_path) -> None:
    options = {"space": {"quality": (0.0, 1.0)}, "folder": tmp_path / "search"}
    kill_at(planted.Flat, "_fit", 3)
    with pytest.raises(Killed):
        planted.tune(planted.Flat(cost=2.0), seconds=10, **options)
    resumed = planted.tune(planted.Flat(cost=2.0), seconds=10, **options)
    assert resumed.trials["seconds"].tolist() == [2.0] * 5 and resumed.seconds == 10.0
    again = planted.tune(planted.Flat(cost=2.0), seconds=10, **options)
    assert len(again.trials) == 5 and again.seconds == 10.0
    more = planted.tune(planted.Flat(cost=2.0), seconds=14, **options)
    assert len(more.trials) == 7
    # The order of the names is no other search.
    two = {"quality": (0.0, 1.0), "width": (1, 4)}
    for space in (two, dict(reversed(two.items()))):
        planted.tune(planted.Flat(), trials=1, space=space, folder=tmp_path / "two")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "Curve"}, "model 'flat' there, 'curve' here"),
        ({"width": 2}, "hyperparameters .*'width': 3.* there, .*'width': 2.* here"),
        ({"space": {"quality": (0.0, 0.9)}}, "space .*'high': 1.0.* there, .*'high': 0.9.* here"),
        ({"metric": "recall@5"}, "metric 'ndcg@100' there, 'recall@5' here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"sampler": "random"}, "sampler 'tpe' there, 'random' here"),
        ({"halving": False}, "halving True .*, False here"),
        ({"data": "train"}, "data '[0-9a-f]+' there, '[0-9a-f]+' here"),
        ({"data": "validation"}, "validation '[0-9a-f]+' there, '[0-9a-f]+' here"),
    ],
)
def test_the_folder_of_another_search_is_refused(planted, tmp_path, change, message) -> None:
    given = {"space": {"quality": (0.0, 1.0)}, "trials": 2, "folder": tmp_path / "search"}
    recae.tune(planted.Flat(), planted.train, planted.fold, "ndcg@100", **given)
    before = {p: p.read_bytes() for p in (tmp_path / "search").rglob("*") if p.is_file()}
    model = planted.Flat(width=change.pop("width", 3))
    if change.pop("model", None):
        model = planted.Curve()
    train, fold = planted.train, planted.fold
    which = change.pop("data", None)
    if which == "train":
        train = train.select_users(np.arange(2))
    elif which == "validation":
        fold = recae.Fold(fold.target, fold.target)
    metric = change.pop("metric", "ndcg@100")
    with pytest.raises(ConfigError, match=f"another search: {message}"):
        recae.tune(model, train, fold, metric, **given | change)
    after = {p: p.read_bytes() for p in (tmp_path / "search").rglob("*") if p.is_file()}
    assert after == before


def test_what_is_no_folder_of_a_search_is_refused(planted, tmp_path) -> None:
    def search(folder: Path) -> recae.tuning.Tuning:
        return planted.tune(planted.Flat(), trials=2, folder=folder)

    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file .*folder"):
        search(tmp_path / "file")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thing").touch()
    with pytest.raises(StorageError, match="precious .*no journal.jsonl"):
        search(tmp_path / "precious")
    with pytest.raises(StorageError, match="no.*where"):
        search(tmp_path / "no" / "where")
    (tmp_path / "empty").mkdir()
    assert len(search(tmp_path / "empty").trials) == 2


def test_a_damaged_folder_is_refused(planted, tmp_path) -> None:
    folder = tmp_path / "search"

    def search() -> recae.tuning.Tuning:
        return planted.tune(planted.Flat(quality=0.7), trials=3, folder=folder)

    search()
    journal = folder / "journal.jsonl"
    whole = journal.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    third = next(n for n, line in enumerate(lines) if '"number":1' in line)
    for damaged in (
        whole + "[1]\n",
        whole + "{}\n",
        whole + "nothing\n" + lines[-1],
        "".join(lines[1:]),
        "".join(lines[:third] + lines[third + 1 :]),
        whole.replace('"number":1', '"number":7'),
        whole.replace('"seconds"', '"minutes"'),
    ):
        journal.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match="journal.jsonl .*damaged .*delete"):
            search()
    journal.write_text(whole[:-20], encoding="utf-8")  # as after a kill: the last trial is lost
    assert len(search().trials) == 3
    journal.write_text(whole.replace('"format":2', '"format":9'), encoding="utf-8")
    with pytest.raises(DataError, match="has format 9; this recae .* reads format 2"):
        search()
    journal.write_text(whole, encoding="utf-8")
    search()
    shutil.rmtree(folder / "best-0")
    with pytest.raises(DataError, match="best-0"):
        search()
