"""Fitting again without validation: as many epochs as were best, at the same annealing."""

from __future__ import annotations

import numpy as np
import pytest

import recae
from recae.recommend.base import Recommender
from recae.training import Epoch
from recae.tuning import at_best_epoch

METRIC = "ndcg@100"


def trained(best: int, **params: object) -> recae.MultVAE:
    """A model as if trained for 20 epochs, of which one was the best."""
    model = recae.MultVAE(epochs=20, metric=METRIC, **params)
    values = {number: 1.0 if number == best else 0.5 for number in range(1, 21)}
    model.epochs_ = [Epoch(n, 0.0, 0.0, {METRIC: value}) for n, value in values.items()]
    return model


@pytest.mark.parametrize(
    ("best", "anneal", "beta"), [(8, 1.0, 0.32), (10, 1.0, 0.4), (16, 0.625, 0.4)]
)
def test_a_model_is_fitted_again_at_the_same_annealing(
    best: int, anneal: float, beta: float
) -> None:
    again = at_best_epoch(trained(best, beta=0.4, anneal=0.5))
    # beta rose for the first 10 of 20 epochs: 0.04 an epoch, up to 0.4.
    assert again.get_params()["epochs"] == best
    assert (again.anneal, again.beta) == pytest.approx((anneal, beta))


def test_without_annealing_only_the_epochs_change() -> None:
    again = at_best_epoch(trained(5, beta=0.4, anneal=0.0))
    assert (again.epochs, again.anneal, again.beta) == (5, 0.0, 0.4)


def test_the_lowest_error_is_the_best_epoch() -> None:
    model = recae.AutoRec(epochs=4)
    errors = [1.2, 0.9, 0.9, 1.0]
    model.epochs_ = [Epoch(n + 1, 0.0, 0.0, {"rmse": e}) for n, e in enumerate(errors)]
    assert at_best_epoch(model).epochs == 2


def test_without_validation_all_epochs_were_wanted() -> None:
    model = recae.MultDAE(epochs=9)
    model.epochs_ = [Epoch(n, 0.0, 0.0) for n in (1, 2, 3)]  # a callback ended it
    assert at_best_epoch(model).epochs == 3


def test_a_closed_form_stays_as_it_is_and_unknown_epochs_are_refused() -> None:
    assert at_best_epoch(recae.EASE(l2=3.0)).get_params() == recae.EASE(l2=3.0).get_params()
    with pytest.raises(recae.errors.NotFittedError, match="MultVAE .*epochs.*fit"):
        at_best_epoch(recae.MultVAE())


def test_every_member_of_an_ensemble_is_treated_so(movies) -> None:
    members = ("EASE(l2=50.0)", "MultDAE(latent=4, hidden=(), epochs=6, patience=1, lr=0.05)")
    model = recae.Ensemble(members=members).fit(movies.train, movies.validation)
    values = [epoch.metrics["ndcg@100"] for epoch in model.members_[1].epochs_]
    ease, dae = at_best_epoch(model).members
    assert ease == "EASE(l2=50.0)"
    assert f"epochs={np.argmax(values) + 1}" in dae and "latent=4" in dae


def scores(model: Recommender, data: recae.Interactions) -> np.ndarray:
    return model.score(data.select_users(np.arange(5)))


def test_refit_fits_the_best_settings_on_all_data(movies) -> None:
    train, fold = movies.train, movies.validation
    tuning = recae.tune(recae.EASE(), train, fold, trials=3, space={"l2": (10.0, 500.0)})
    whole = movies.test.history
    by_hand = recae.EASE(l2=tuning.params["l2"]).fit(whole)
    assert np.array_equal(scores(tuning.refit(whole), whole), scores(by_hand, whole))


def test_refit_trains_for_the_epochs_that_were_best(movies) -> None:
    template = recae.MultDAE(latent=4, hidden=(), epochs=8, patience=2, batch_size=50)
    space = {"lr": [0.03, 0.1]}
    tuning = recae.tune(template, movies.train, movies.validation, trials=3, space=space)
    values = [epoch.metrics["ndcg@100"] for epoch in tuning.model.epochs_]
    by_hand = tuning.model.clone().set_params(epochs=int(np.argmax(values)) + 1)
    by_hand.fit(movies.train, seed=5)
    again = tuning.refit(movies.train, seed=5)
    assert len(again.epochs_) == np.argmax(values) + 1
    assert np.array_equal(scores(again, movies.train), scores(by_hand, movies.train))


def test_refit_keeps_the_weights_of_an_ensemble(movies) -> None:
    template = recae.Ensemble(members=("EASE(l2=50.0)", "Random()"))
    space = {"members": [template.members]}
    tuning = recae.tune(template, movies.train, movies.validation, trials=2, space=space)
    weights = tuning.model.member_weights_
    assert weights[1] < 0.5 * weights[0]  # chance has nothing to say
    again = tuning.refit(movies.train)
    assert np.array_equal(again.member_weights_, weights)
    assert again.member_weights_ is not weights
