"""What a search finds, that it can be repeated, and what does not stop it."""

from __future__ import annotations

import logging
import random
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import recae
from recae import ConfigError, DataError, RecaeWarning
from recae.errors import TrainingError

SPACE = {"quality": (0.0, 1.0), "width": (1, 4)}


def rows(tuning: recae.tuning.Tuning) -> pd.DataFrame:
    """The trials without the time they took."""
    return tuning.trials.drop(columns="seconds")


def test_a_hopeless_default_is_left_far_behind(movies) -> None:
    space = {"l2": (1.0, 1e6), "dropout": (0.0, 0.8)}
    hopeless = recae.EDLAE(l2=1e6, dropout=0.8)
    tuning = recae.tune(
        hopeless, movies.train, movies.validation, "ndcg@20", trials=20, space=space
    )
    by_hand = [
        recae.evaluate(
            recae.EDLAE(l2=l2, dropout=dropout).fit(movies.train), movies.validation, "ndcg@20"
        )["ndcg@20"]
        for l2 in (10.0, 30.0, 100.0, 300.0)
        for dropout in (0.1, 0.3, 0.5)
    ]
    floor = recae.evaluate(hopeless.clone().fit(movies.train), movies.validation, "ndcg@20")
    assert tuning.trials["value"].iloc[0] == floor["ndcg@20"]
    assert tuning.value > 0.98 * max(by_hand) > 1.1 * floor["ndcg@20"]
    again = recae.evaluate(tuning.model, movies.validation, "ndcg@20")["ndcg@20"]
    assert again == tuning.value == tuning.trials["value"].max()


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_planted_optimum_is_found(planted, sampler: str) -> None:
    tuning = planted.tune(planted.Flat(), trials=40, sampler=sampler)
    assert tuning.value == 1.0 and abs(tuning.params["quality"] - 0.7) < 0.05
    assert tuning.model.quality == tuning.params["quality"]
    values = [planted.value(quality) for quality in tuning.trials["quality"]]
    assert tuning.trials["value"].tolist() == pytest.approx(values)


def test_tpe_comes_nearer_than_chance_as_it_goes(planted) -> None:
    def late(sampler: str, seed: int) -> float:
        tried = planted.tune(planted.Flat(), trials=30, sampler=sampler, seed=seed).trials
        return float((tried["quality"].iloc[15:] - 0.7).abs().mean())

    distances = {sampler: late(sampler, 0) + late(sampler, 1) for sampler in ("random", "tpe")}
    assert distances["tpe"] < 0.6 * distances["random"]


def test_the_template_is_trial_0_and_the_best_where_nothing_beats_it(planted) -> None:
    tuning = planted.tune(planted.Flat(quality=0.7), trials=6, space={"quality": (0.0, 0.3)})
    assert tuning.trials["quality"].iloc[0] == 0.7  # although it is out of what is searched
    assert tuning.trials["quality"].iloc[1:].max() <= 0.3
    assert tuning.params == {"quality": 0.7} and tuning.value == 1.0
    assert rows(tuning).columns.tolist() == [
        *("number", "value", "epochs", "state", "reason", "quality"),
    ]
    assert tuning.trials["number"].tolist() == list(range(6))
    assert tuning.trials["epochs"].isna().all()


def test_of_equals_the_earlier_is_the_best(planted) -> None:
    tuning = planted.tune(planted.Flat(quality=0.7), trials=4, space={"width": [1, 2, 3, 4]})
    assert tuning.trials["value"].tolist() == [1.0] * 4
    assert tuning.params == {"width": 3}


def test_the_same_call_finds_the_same_and_the_order_of_names_does_not_matter(planted) -> None:
    def search(space: object, seed: int = 0) -> pd.DataFrame:
        return rows(planted.tune(planted.Flat(), trials=15, space=space, seed=seed))

    first = search(SPACE)
    pd.testing.assert_frame_equal(search(dict(reversed(SPACE.items()))), first)
    assert not search(SPACE, seed=1)["quality"].equals(first["quality"])
    assert len(first[["quality", "width"]].drop_duplicates()) == 15


def test_seeds_reach_the_fits(planted) -> None:
    drawn = [planted.tune(planted.Flat(), trials=1, seed=s).model.drawn_.tolist() for s in (0, 3)]
    assert drawn == [np.random.default_rng(seed).random(3).tolist() for seed in (0, 3)]


def test_a_finite_space_is_tried_once_and_ends_the_search(planted) -> None:
    space = {"kind": ["a", "c"], "width": (1, 3)}
    tuning = planted.tune(planted.Flat(width=2), trials=50, space=space)
    tried = list(zip(tuning.trials["kind"], tuning.trials["width"], strict=True))
    assert tried[0] == ("a", 2)
    assert sorted(tried) == [(kind, width) for kind in "ac" for width in (1, 2, 3)]


def test_failures_are_noted_and_do_not_end_it(planted) -> None:
    tuning = planted.tune(planted.Flat(breaks=0.5), trials=30, space=SPACE)
    failed = tuning.trials[tuning.trials["state"] == "failed"]
    assert 3 < len(failed) < 27 and (failed["quality"] > 0.5).all()
    assert failed["reason"].tolist() == [f"width {width} is out" for width in failed["width"]]
    assert failed["value"].isna().all()
    assert tuning.params["quality"] <= 0.5
    rest = tuning.trials.drop(failed.index)
    assert rest["state"].eq("complete").all() and rest["reason"].eq("").all()


def test_a_template_that_fails_is_a_trial_like_any_other(planted) -> None:
    tuning = planted.tune(planted.Flat(quality=0.9, breaks=0.8), trials=9)
    assert tuning.trials["state"].iloc[0] == "failed" and tuning.params["quality"] <= 0.8


def test_if_all_fail_their_reasons_are_said(planted) -> None:
    with pytest.raises(TrainingError, match=r"none of 3 trials .*trial 0: width 3 is out; trial"):
        planted.tune(planted.Flat(breaks=0.0), trials=3, space={"width": [1, 2, 3]})
    with pytest.raises(TrainingError, match="none of 20 trials"):  # and not for an hour
        planted.tune(planted.Flat(breaks=0.0, cost=0.0, quality=0.1), seconds=3600)


def test_warnings_are_noted_and_those_of_the_best_are_passed_on(planted) -> None:
    space = {"quality": (0.0, 1.0)}
    with pytest.warns(RecaeWarning, match="diverged") as caught:
        tuning = planted.tune(planted.Flat(warns=0.4), trials=20, space=space)
    said = tuning.trials.set_index("quality")["reason"]
    for quality, reason in said.items():
        assert reason == (f"the training of Flat has diverged at {quality}" * (quality > 0.4))
    assert [str(w.message) for w in caught] == [said[tuning.params["quality"]]]
    assert caught[0].filename.endswith("conftest.py")  # the line outside recae that led to it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planted.tune(planted.Flat(quality=0.7, warns=0.7), trials=5, space=space)


def test_a_model_that_validates_itself_does_so_by_the_metric(movies) -> None:
    template = recae.MultDAE(latent=4, hidden=(), epochs=3, metric="recall@5", batch_size=50)
    tuning = recae.tune(
        template, movies.train, movies.validation, "ndcg@10", trials=2, space={"lr": (1e-3, 1e-2)}
    )
    assert template.metric == "recall@5" and tuning.model.metric == "ndcg@10"
    measured = recae.evaluate(tuning.model, movies.validation, "ndcg@10")["ndcg@10"]
    assert tuning.value == pytest.approx(measured, rel=1e-12)
    best = max(epoch.metrics["ndcg@10"] for epoch in tuning.model.epochs_)
    assert tuning.value == best


def test_a_model_with_a_measure_of_its_own_is_measured_once(movies) -> None:
    template = recae.AutoRec(latent=4, epochs=4, batch_size=200)
    tuning = recae.tune(
        template, movies.train, movies.validation, "ndcg@10", trials=3, space={"lr": (1e-4, 1e-2)}
    )
    assert tuning.model.metric == "rmse" and set(tuning.trials["state"]) == {"complete"}
    measured = recae.evaluate(tuning.model, movies.validation, "ndcg@10")["ndcg@10"]
    assert tuning.value == measured


def test_ensembles_can_be_choices_of_members(movies) -> None:
    template = recae.Ensemble(members=("Popularity()", "Random()"))
    better = ("EASE(l2=50.0)", "Popularity()")
    space = {"members": [better, template.members]}
    arguments = (template, movies.train, movies.validation, "ndcg@10")
    tuning = recae.tune(*arguments, trials=5, space=space)
    assert tuning.params == {"members": better} and len(tuning.trials) == 2
    assert tuning.model.metric == "ndcg@10"


def test_a_model_without_anything_to_search_is_measured_once(movies, tmp_path) -> None:
    data, fold = movies.train, movies.validation
    tuning = recae.tune(recae.Random(), data, fold, "ndcg@10", trials=5, folder=tmp_path / "f")
    expected = recae.evaluate(recae.Random().fit(data), fold, "ndcg@10")["ndcg@10"]
    assert tuning.trials["value"].tolist() == [expected] and tuning.params == {}
    again = recae.tune(recae.Random(), data, fold, "ndcg@10", trials=5, folder=tmp_path / "f")
    assert again.trials.equals(tuning.trials)
    assert tuning.refit(data).score(data).shape == (data.n_users, data.n_items)
    assert tuning.plot(tmp_path / "trials.png").is_file()


def hit_at_once(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return hits[:, 0]


def test_a_function_is_maximised_and_other_metrics_are_noted(movies, tmp_path) -> None:
    data, fold = movies.train, movies.validation
    first = recae.metrics.Metric.of(hit_at_once, k=1)
    metrics = [first, "ndcg@10", "recall@20"]
    template = recae.MultDAE(latent=4, hidden=(), epochs=3, metric="recall@5", batch_size=50)
    options = {"trials": 2, "space": {"lr": (1e-3, 1e-2)}, "folder": tmp_path / "f"}
    tuning = recae.tune(template, data, fold, metrics, **options)
    assert tuning.metric == "hit_at_once@1" and tuning.model.metric == "recall@5"
    found = recae.evaluate(tuning.model, fold, metrics, progress=False)
    best = tuning.trials.loc[tuning.trials["value"].idxmax()]
    assert best["value"] == tuning.value == found["hit_at_once@1"]
    assert best["ndcg@10"] == found["ndcg@10"] and best["recall@20"] == found["recall@20"]
    assert recae.tune(template, data, fold, metrics, **options).trials.equals(tuning.trials)


def test_a_model_that_validates_itself_is_measured_by_the_other_metrics_too(movies) -> None:
    template = recae.MultDAE(latent=4, hidden=(), epochs=2, batch_size=50)
    metrics, space = ["ndcg@10", "recall@20"], {"lr": [1e-3]}
    tuning = recae.tune(template, movies.train, movies.validation, metrics, trials=1, space=space)
    found = recae.evaluate(tuning.model, movies.validation, metrics, progress=False)
    assert tuning.trials["recall@20"].tolist() == [found["recall@20"]]
    assert tuning.value == pytest.approx(found["ndcg@10"], rel=1e-12)


def test_nothing_global_is_changed(planted) -> None:
    optuna = pytest.importorskip("optuna")

    def state() -> list[object]:
        return [
            optuna.logging.get_verbosity(),
            logging.getLogger("optuna").level,
            list(logging.getLogger("optuna").handlers),
            list(warnings.filters),
            warnings.showwarning,
            random.getstate(),
            str(np.random.get_state()),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
        ]

    before = state()
    planted.tune(planted.Flat(breaks=0.9), trials=12)
    assert state() == before


def test_nothing_is_printed(planted, capfd) -> None:
    planted.tune(planted.Flat(), trials=9)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "seconds=60, trials=20, or both"),
        ({"seconds": 0}, "> 0, not 0"),
        ({"seconds": float("inf")}, "> 0, not inf"),
        ({"seconds": "60"}, "> 0, not '60'"),
        ({"trials": 0}, ">= 1, not 0"),
        ({"trials": 2.5}, ">= 1, not 2.5"),
        ({"trials": True}, ">= 1, not True"),
        ({"sampler": "tpee"}, "unknown sampler 'tpee'.* mean 'tpe'"),
        ({"halving": "no"}, "True .*False, not 'no'"),
        ({"seed": -1}, ">= 0, not -1"),
        ({"device": "abacus"}, "unknown device"),
        ({"progress": 1}, "True, False .*None.*, not 1"),
        ({"metric": "ndgc@10"}, "unknown metric 'ndgc'"),
        ({"metric": "coverage@10"}, "metric .*hits"),
        ({"space": {"qualty": (0, 1)}}, "unknown hyperparameter .*space 'qualty'"),
        ({"space": {}}, "nothing .*Flat.*quality"),
        ({"template": "flat"}, "model, .*EASE.*, not 'flat'"),
        ({"template": recae.EASE}, "model, .*EASE.*, not <class"),
        ({"template": recae.EASE(l2=-1)}, "l2 .*> 0, not -1"),
        ({"template": recae.Random(), "space": {}}, "nothing .*Random: .*hyperparameter"),
        ({"template": recae.Popularity(), "space": {}}, "nothing .*Popularity: .*space.* weights"),
        ({"metric": []}, "no metric"),
        ({"metric": ["coverage@10", "ndcg@10"]}, "metric .*hits"),
        ({"metric": len}, "no k"),
        ({"folder": ""}, "path .*, not ''"),
    ],
)
def test_mistakes_are_told_before_any_fit(planted, monkeypatch, options, message: str) -> None:
    def fit(*_: object, **__: object) -> None:
        raise AssertionError("nothing is fitted")

    monkeypatch.setattr(recae.Recommender, "fit", fit)
    given = {"template": planted.Flat(), "train": planted.train, "validation": planted.fold}
    bounded = not options or set(options) & {"seconds", "trials"}
    given |= options | ({} if bounded else {"trials": 2})
    with pytest.raises(ConfigError, match=message) as caught:
        recae.tune(**given)
    for name in set(options) & {"seconds", "trials", "halving", "seed", "progress", "sampler"}:
        assert caught.value.parameter == name and caught.value.value is options[name]


def test_bad_data_are_told_before_any_fit(planted) -> None:
    flat, train, fold = planted.Flat(), planted.train, planted.fold
    empty = recae.Fold(fold.target, fold.history)
    with pytest.raises(DataError, match="no user .*validation .*target"):
        recae.tune(flat, train, empty, trials=2)
    with pytest.raises(DataError, match="validation .*Fold.* not NoneType"):
        recae.tune(flat, train, None, trials=2)
    with pytest.raises(DataError, match="no interactions"):
        recae.tune(flat, fold.history, fold, trials=2)


def test_without_optuna_it_says_what_to_install(planted, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'Optuna: .*"recae\[tune\]"'):
        planted.tune(planted.Flat(), trials=2)


def test_epochs_of_a_model_that_does_not_keep_them_are_counted(movies) -> None:
    template = recae.BPR(latent=2, epochs=3)
    tuning = recae.tune(template, movies.train, movies.validation, trials=1, progress=False)
    assert tuning.trials["epochs"].tolist() == [3]
