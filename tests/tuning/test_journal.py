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


@pytest.mark.parametrize("at", [1, 2, 3, 4, 6])
def test_a_search_that_is_killed_while_writing_goes_on(
    planted, kill_at, tmp_path, monkeypatch, at: int
) -> None:
    options = {"trials": 6, "space": SPACE, "folder": tmp_path / "search"}
    whole = planted.tune(planted.Flat(), **{**options, "folder": None})
    with monkeypatch.context() as patched:
        import recae.system.files

        untouched, calls = recae.system.files.os.replace, iter(range(10**6))

        def dying(*arguments: object) -> None:
            if next(calls) == at:
                raise Killed
            untouched(*arguments)

        patched.setattr(recae.system.files.os, "replace", dying)
        with pytest.raises(Killed):
            planted.tune(planted.Flat(), **options)
    resumed = planted.tune(planted.Flat(), **options)
    pd.testing.assert_frame_equal(without_time(resumed), without_time(whole))
    names = {path.name for path in (tmp_path / "search").iterdir() if path.name[0] != "."}
    best = whole.trials["value"].argmax()
    assert names == {"about.json", "trials.jsonl", f"best-{best}"}


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
        ({"halving": False}, "halving True there, False here"),
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
    with pytest.raises(ConfigError, match=f"is of another search: {message}"):
        recae.tune(model, train, fold, metric, **given | change)
    after = {p: p.read_bytes() for p in (tmp_path / "search").rglob("*") if p.is_file()}
    assert after == before


def test_what_is_no_folder_of_a_search_is_refused(planted, tmp_path) -> None:
    def search(folder: Path) -> recae.tuning.Tuning:
        return planted.tune(planted.Flat(), trials=2, folder=folder)

    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file is a file: name a folder"):
        search(tmp_path / "file")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thing").touch()
    with pytest.raises(StorageError, match="precious exists and holds no about.json"):
        search(tmp_path / "precious")
    with pytest.raises(StorageError, match="cannot make the folder"):
        search(tmp_path / "no" / "where")
    (tmp_path / "empty").mkdir()
    assert len(search(tmp_path / "empty").trials) == 2


def test_a_damaged_folder_is_refused(planted, tmp_path) -> None:
    folder = tmp_path / "search"

    def search() -> recae.tuning.Tuning:
        return planted.tune(planted.Flat(quality=0.7), trials=3, folder=folder)

    search()
    trials, about = folder / "trials.jsonl", folder / "about.json"
    whole = trials.read_text(encoding="utf-8")
    assert [json.loads(line)["number"] for line in whole.splitlines()] == [0, 1, 2]
    for damaged in (whole[:-20], whole + "{}\n", "[1]\n", whole.partition("\n")[2]):
        trials.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match="trials.jsonl is damaged .*delete the folder"):
            search()
    trials.write_text(whole, encoding="utf-8")
    search()
    kept = about.read_text(encoding="utf-8")
    about.write_text(kept.replace('"format": 1', '"format": 9'), encoding="utf-8")
    with pytest.raises(DataError, match="has format 9; this recae .* reads format 1"):
        search()
    about.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="about.json is damaged"):
        search()
    about.write_text(kept, encoding="utf-8")
    shutil.rmtree(folder / "best-0")
    with pytest.raises(DataError, match="best-0"):
        search()
