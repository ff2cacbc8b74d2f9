"""Ensembles: each member is tuned in its share of the budget, then the weights are learnt."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

import recae
from recae.errors import TrainingError
from recae.tuning.members import labelled

METRIC = "ndcg@10"
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


def test_models_of_one_name_are_numbered() -> None:
    models = [recae.EASE(l2=1.0), recae.Popularity(), recae.EASE(l2=2.0)]
    assert labelled(models) == dict(zip(["ease", "popularity", "ease-2"], models, strict=True))
