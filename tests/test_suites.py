"""What the suites of evaluation/ do beside calling recae: searching, stopping, refusing."""

from __future__ import annotations

import pytest

import recae
from evaluation import gowalla
from evaluation.grid import choose
from evaluation.ml20m_partial import METRIC, at_best_epoch
from recae.training import Epoch

DATA = recae.load_dataset("ml-latest-small").interactions
SPLIT = recae.StrongGeneralization(held_out=0.3).split(DATA.filter(min_per_item=30))


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


def test_the_setting_that_is_best_on_validation_is_chosen() -> None:
    grid = {"l2": (1e6, 50.0), "dropout": (0.0, 0.3)}
    best, trials = choose(recae.EDLAE(), grid, SPLIT.train, SPLIT.validation, METRIC, seed=0)
    by_hand = {}
    for l2 in grid["l2"]:
        for dropout in grid["dropout"]:
            model = recae.EDLAE(l2=l2, dropout=dropout).fit(SPLIT.train)
            by_hand[l2, dropout] = recae.evaluate(model, SPLIT.validation, METRIC)[METRIC]
    assert (best.l2, best.dropout) == max(by_hand, key=by_hand.__getitem__)
    assert {(t["params"]["l2"], t["params"]["dropout"]): t[METRIC] for t in trials} == by_hand


@pytest.mark.parametrize("more", [["--set", "l2=3"], ["--top-items", "100"]])
def test_nothing_is_chosen_on_the_test(more: list[str], tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        gowalla.main([str(tmp_path), "--model", "ease", *more])
    assert "the test is not for choosing" in capsys.readouterr().err
