"""Ensembles: each member is tuned in its share of the budget, then the weights are learnt."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recae
from recae.errors import TrainingError
from recae.tuning.members import labelled, tune_each

METRIC = "ndcg@10"
members = import_module("recae.tuning.members")
MEMBERS = ("EASE(l2=2000.0)", "MultDAE(latent=4, hidden=(), epochs=3, batch_size=50)")


@pytest.fixture(scope="module")
def tuning(movies, tmp_path_factory) -> recae.tuning.Tuning:
    folder = tmp_path_factory.mktemp("tuning") / "search"
    template = recae.Ensemble(members=MEMBERS)
    return recae.tune(template, movies.train, movies.validation, METRIC, trials=3, folder=folder)


def test_members_are_tuned_as_if_alone_and_blended_on_validation(movies, tuning) -> None:
    data, fold = movies.train, movies.validation
    alone = [
        recae.tune(model, data, fold, METRIC, trials=3)
        for model in (
            recae.EASE(l2=2000.0),
            recae.MultDAE(latent=4, hidden=(), epochs=3, batch_size=50),
        )
    ]
    blend = recae.Ensemble.of([found.model for found in alone], fold, metric=METRIC)
    np.testing.assert_array_equal(tuning.model.score(data), blend.score(data))
    values = [value for found in alone for value in found.trials["value"]]
    found = recae.evaluate(blend, fold, METRIC, progress=False)[METRIC]
    assert tuning.trials["value"].tolist() == [*values, found]
    assert tuning.value == found >= max(values)
    assert tuning.params == {"members": tuning.model.members}
    assert tuning.trials["number"].tolist() == list(range(7))


def test_refit_fits_the_members_for_their_best_epochs_and_keeps_the_weights(movies, tuning) -> None:
    again = tuning.refit(movies.train, seed=4)
    dae = tuning.model.members_[1]
    best = int(np.argmax([epoch.metrics[METRIC] for epoch in dae.epochs_])) + 1
    assert len(again.members_[1].epochs_) == best
    assert again.members_[0].l2 == tuning.model.members_[0].l2
    assert np.array_equal(again.member_weights_, tuning.model.member_weights_)
    assert again.validation_users_ == tuning.model.validation_users_ > 0


def test_a_killed_search_resumes_in_its_folder(movies, tmp_path, monkeypatch) -> None:
    def search() -> recae.tuning.Tuning:
        template, data = recae.Ensemble(members=MEMBERS), movies.train
        return recae.tune(
            template, data, movies.validation, METRIC, trials=2, folder=tmp_path / "s"
        )

    attempt, done = import_module("recae.tuning.one").attempt, []

    def interrupted(*args):
        if len(done) == 3:  # the second member has one trial
            raise KeyboardInterrupt
        done.append(attempt(*args))
        return done[-1]

    monkeypatch.setattr("recae.tuning.one.attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search()
    done.clear()
    found = search()
    assert len(done) == 1
    monkeypatch.undo()
    values = recae.tune(
        recae.Ensemble(members=MEMBERS), movies.train, movies.validation, METRIC, trials=2
    )
    assert found.trials["value"].tolist() == values.trials["value"].tolist()
    assert (
        found.refit(movies.train).members_[1].epochs
        == values.refit(movies.train).members_[1].epochs
    )


def test_a_member_that_cannot_be_fitted_is_named(planted) -> None:
    name = planted.Flat.__name__
    template = recae.Ensemble(members=(f"{name}(breaks=0.0)", "Popularity()"))
    with pytest.raises(TrainingError, match="member flat .*width 3"):
        planted.tune(template, trials=1)


def test_the_seconds_are_divided_and_the_trials_are_those_of_the_members(movies, tmp_path) -> None:
    template = recae.Ensemble(members=("Popularity()", "EASE(l2=50.0)"))
    tuning = recae.tune(template, movies.train, movies.validation, METRIC, seconds=1.0)
    assert tuning.trials["members"].iloc[0] == ("Popularity()",)
    assert tuning.plot(tmp_path / "trials.png").is_file()


class Spent:
    """A search whose tunings take the seconds that are given for them, by a clock of its own."""

    def __init__(self, monkeypatch: Any, takes: dict[str, float]) -> None:
        self.now, self.takes, self.shares = 0.0, takes, dict[str, float]()
        self.metrics = [recae.metrics.parse_metric(METRIC)]
        monkeypatch.setattr(members, "clock", lambda: self.now)

    def tune(self, template: recae.Recommender, *, seconds: float, **_: Any) -> Any:
        self.shares[template.name] = seconds
        took = self.takes[template.name]
        self.now += took
        best = SimpleNamespace(seconds=took, state="complete")
        return SimpleNamespace(value=0.1, trials=[0], seconds=took, _best=best)


def test_a_refused_model_has_a_second_turn_in_the_time_that_is_left(monkeypatch) -> None:
    search = Spent(monkeypatch, {"mult-dae": 60.0, "ease": 10.0, "als": 10.0})
    said: list[str] = []

    def refuse(template: recae.Recommender, share: float, left: float) -> str:
        return "too slow" if template.name.startswith("mult") and share < 70 else ""

    models = {m.name: m for m in (recae.MultVAE(), recae.MultDAE(), recae.EASE(), recae.ALS())}
    found = tune_each(search, models, end=100.0, trials=None, say=said.append, refuse=refuse)
    # Half of 80 s is too little for the first training. It leaves all of them to the second.
    assert list(found.tunings) == ["ease", "als", "mult-dae"]
    assert search.shares["mult-dae"] == 80.0
    assert found.skipped == {"mult-vae": "too slow"} and "mult-vae" in said[-1]


def test_the_time_of_the_fits_that_follow_is_kept(monkeypatch) -> None:
    search = Spent(monkeypatch, {"ease": 10.0, "als": 20.0, "mult-vae": 10.0})
    models = {m.name: m for m in (recae.EASE(), recae.ALS(), recae.MultVAE())}
    tune_each(search, models, end=100.0, trials=None, say=lambda _: None, refits=True)
    left = 100.0 - 10 - 20  # spent, and as much for the fits; a training takes half for its own
    assert search.shares["mult-vae"] == (left - 10 - 20) / 2


def test_models_of_one_name_are_numbered() -> None:
    models = [recae.EASE(l2=1.0), recae.Popularity(), recae.EASE(l2=2.0)]
    assert labelled(models) == dict(zip(["ease", "popularity", "ease-2"], models, strict=True))
