"""`recae.find_best`: the split, the shares of time, the choice, and what it returns."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, Interactions
from recae.errors import TrainingError, UnusedWeights
from recae.tuning.best import Best, joined
from recae.tuning.candidates import share_of

best_module = import_module("recae.tuning.best")


@pytest.fixture(scope="module")
def found(text_data: Interactions) -> Best:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best_module, "TRIALS", 4)
        return recae.find_best(
            text_data, seconds=60, metric="ndcg@5", models=["popularity", "ease"], progress=False
        )


def pairs(data: Interactions) -> set[tuple[Any, Any]]:
    frame = data.to_frame()
    return set(zip(frame["user_id"], frame["item_id"], strict=True))


def test_tastes_are_found_and_the_test_is_of_what_no_fit_has_seen(found, text_data) -> None:
    assert found.name == "ease" and list(found.reports) == ["ease", "popularity"]
    before = joined(found.split.train, found.split.validation)
    assert pairs(before) == pairs(text_data) - pairs(found.split.test.target)
    again = found.tunings["ease"].refit(before)
    report = recae.evaluate(again, found.split.test, "ndcg@5", progress=False)
    pd.testing.assert_frame_equal(found.report.per_user, report.per_user)


def test_the_model_is_fitted_on_everything_with_the_best_setting(found, text_data) -> None:
    expected = recae.EASE(**found.tunings["ease"].params).fit(text_data)
    np.testing.assert_array_equal(found.model.score(text_data), expected.score(text_data))
    assert found.model.history_.nnz == text_data.nnz


def test_the_table_and_the_verdict_name_every_model(found) -> None:
    table = found.table.set_index("model")
    assert table.index.tolist() == ["ease", "popularity", "blend"]
    assert table.loc["blend", "note"].startswith("skipped")
    for name, report in found.reports.items():
        assert table.loc[name, "test"] == report.mean["ndcg@5"]
        assert table.loc[name, "validation"] == found.tunings[name].value
        assert name in found.verdict
    comparison = recae.compare(found.reports, "ndcg@5", baseline="ease")
    assert recae.evaluation.comparison.verdicts(comparison)[0] in found.verdict


def test_models_of_strong_generalisation_are_tested_after_the_validation_users(text_data) -> None:
    split = recae.StrongGeneralization(held_out=6, min_target=1).split(text_data, seed=0)
    before = joined(split.train, split.validation)
    held_out = pairs(split.validation.history) | pairs(split.validation.target)
    assert pairs(before) == pairs(split.train) | held_out


def timed(users: int) -> Interactions:
    """Each user has an interaction at each of ten times."""
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(users), 10)})
    frame["timestamp"] = np.tile(np.arange(10), users)
    frame["item_id"] = (frame["user_id"] + 3 * frame["timestamp"]) % 17
    return Interactions.from_frame(frame)


@pytest.mark.parametrize(("users", "expected"), [(199, recae.RandomSplit), (200, recae.GlobalTime)])
def test_data_with_times_are_split_in_time_if_enough_users_remain(users, expected) -> None:
    splitter, split, _ = best_module._split(timed(users), None, 0)
    assert isinstance(splitter, expected)
    assert split.test.target.n_users == users and split.validation.target.n_users == users


def test_data_without_times_are_split_at_random(text_data) -> None:
    assert isinstance(best_module._split(text_data, None, 0)[0], recae.RandomSplit)


def test_time_that_a_model_leaves_goes_to_the_next(text_data, monkeypatch) -> None:
    now, given = [0.0], []

    def spend(search: Any, template: Any, *, seconds: float, **options: Any) -> None:
        given.append(seconds)
        now[0] += 10
        raise TrainingError("planted")

    monkeypatch.setattr(best_module, "clock", lambda: now[0])
    monkeypatch.setattr(import_module("recae.tuning.members"), "clock", lambda: now[0])
    monkeypatch.setattr(import_module("recae.tuning.one").Search, "tune", spend)
    with pytest.raises(TrainingError, match="ease: planted"):
        recae.find_best(text_data, seconds=100, models=["popularity", "ease"], progress=False)
    assert given == pytest.approx([30, 50])  # 60 % of the time, halved; then all that is left


def test_a_model_of_epochs_gets_three_parts() -> None:
    assert share_of([recae.Popularity(), recae.EASE(), recae.MultVAE()]) == 1 / 5
    assert share_of([recae.MultVAE(), recae.EASE()]) == 3 / 4


def test_a_closed_form_that_takes_too_long_is_skipped(text_data, monkeypatch) -> None:
    monkeypatch.setattr(import_module("recae.tuning.candidates"), "speed", lambda: 1e-6)
    monkeypatch.setattr(best_module, "TRIALS", 1)
    said: list[str] = []
    models = [recae.EASE(), "popularity"]
    result = recae.find_best(
        text_data, seconds=30, metric="ndcg@5", models=models, on_step=said.append, progress=False
    )
    assert result.name == "popularity" and list(result.reports) == ["popularity"]
    assert result.table.set_index("model").loc["ease", "note"].startswith("skipped")
    assert any(line.startswith("ease") for line in said)


def test_weights_are_searched_and_not_complained_of(int_data, monkeypatch) -> None:
    monkeypatch.setattr(best_module, "TRIALS", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnusedWeights)
        result = recae.find_best(
            int_data, seconds=30, metric="ndcg@5", models=["pure-svd"], progress=False
        )
    assert {"weights", "weight_transform"} <= set(result.tunings["pure-svd"].params)


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"seconds": 0}, "seconds"),
        ({"metric": "coverage@10"}, "metric"),
        ({"models": []}, "models"),
        ({"models": ["eaes"]}, "models"),
        ({"models": [recae.EASE, "ease"]}, "models"),
        ({"on_step": 3}, "on_step"),
        ({"models": ["ease", "ease"]}, "models"),
        ({"models": [recae.EASE(l2=-1.0)]}, "l2"),
        ({"protocol": "random"}, "protocol"),
        ({"protocol": recae.RandomSplit(validation=0, test=0.2)}, "protocol"),
    ],
)
def test_bad_options_are_refused_before_any_fit(text_data, options, parameter) -> None:
    with pytest.raises(ConfigError) as caught:
        recae.find_best(text_data, **options)
    assert caught.value.parameter == parameter


def test_users_of_one_item_cannot_be_split() -> None:
    lonely = Interactions.from_csr(sp.csr_matrix(np.eye(4)))
    with pytest.raises(recae.DataError):
        recae.find_best(lonely, seconds=5)


def test_a_blend_that_is_better_is_tested_and_fitted_like_a_model(text_data, monkeypatch) -> None:
    weights = np.array([1.5, 0.5])

    def learn(blend: recae.Ensemble, users: Any) -> None:
        blend.member_weights_, blend.validation_users_ = weights, len(users)

    monkeypatch.setattr(recae.Ensemble, "_learn", learn)
    monkeypatch.setattr(import_module("recae.tuning.members").Blend, "settled", True)
    monkeypatch.setattr(best_module, "TRIALS", 1)
    options = {"seconds": 60, "metric": "ndcg@5", "progress": False}
    result = recae.find_best(text_data, models=["popularity", "ease"], **options)
    assert result.table["model"].tolist() == ["blend", "ease", "popularity"]
    assert result.name == "blend" and "75% ease" in result.table["note"][0]
    before = joined(result.split.train, result.split.validation)
    for data, scores in ((before, None), (text_data, result.model.score(text_data))):
        members = [result.tunings[name].refit(data) for name in ("ease", "popularity")]
        expected = recae.Ensemble.of(members, metric="ndcg@5")
        expected.member_weights_ = weights
        if scores is None:
            report = recae.evaluate(expected, result.split.test, "ndcg@5", progress=False)
            pd.testing.assert_frame_equal(result.report.per_user, report.per_user)
        else:
            np.testing.assert_array_equal(scores, expected.score(data))
    assert result.model.history_ is text_data


def test_a_blend_without_time_to_fit_its_members_is_skipped(text_data, monkeypatch) -> None:
    monkeypatch.setattr(import_module("recae.tuning.members").Blend, "settled", True)
    monkeypatch.setattr(import_module("recae.tuning.members").Searches, "seconds", lambda *_: 1e6)
    monkeypatch.setattr(best_module, "TRIALS", 1)
    models = [recae.EASE(l2=3.0), recae.SVDAE(latent=4), recae.ALS(latent=4)]
    result = recae.find_best(text_data, seconds=30, metric="ndcg@5", models=models, progress=False)
    notes = result.table.set_index("model")["note"]
    assert "left" in notes["blend"] or "alone" in notes["blend"]
