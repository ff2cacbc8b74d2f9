"""`recae.AutoEnsemble`: the laws of every model, what it chooses, and what it leaves out."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, Interactions
from recae.testing import check_recommender
from recae.tuning.candidates import Room, split_for_validation

METRIC = "ndcg@50"
MEMBERS = ("Popularity()", "SVDAE(latent=8)", "EASE(l2=50.0)")
auto = import_module("recae.tuning.auto")


@pytest.fixture(scope="module")
def few_trials():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "TRIALS", 2)
        yield


@pytest.fixture(scope="module")
def model(movies, few_trials) -> recae.AutoEnsemble:
    made = recae.AutoEnsemble(minutes=1, metric=METRIC, members=MEMBERS)
    return made.fit(movies.train, movies.validation)


def test_it_obeys_the_laws_of_every_model(monkeypatch) -> None:
    # With few trials the time is never up, so that the same seed gives the same.
    monkeypatch.setattr(auto, "TRIALS", 1)
    check_recommender(recae.AutoEnsemble(minutes=5, metric="ndcg@5", members=("EASE()", "ALS()")))


def test_it_is_the_blend_of_what_tune_finds(movies, model) -> None:
    data, fold = movies.train, movies.validation
    alone = {
        text: recae.tune(found, data, fold, METRIC, trials=2)
        for text, found in zip(
            ["popularity", "svd-ae", "ease"],
            [recae.Popularity(), recae.SVDAE(latent=8), recae.EASE(l2=50.0)],
            strict=True,
        )
    }
    ranked = sorted(alone, key=lambda text: -alone[text].value)
    blend = recae.Ensemble.of([alone[text].model for text in ranked], fold, metric=METRIC)
    expected = blend.score(data) / blend.member_weights_.sum()
    found = model.score(data) / model.member_weights_.sum()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    table = model.tried_.set_index("model")
    assert table.index.tolist() == ranked
    assert table["validation"].tolist() == [alone[text].value for text in ranked]
    shares = blend.member_weights_ / blend.member_weights_.sum()
    np.testing.assert_allclose(table["weight"], shares)
    assert recae.evaluate(model, fold, METRIC)[METRIC] >= max(table["validation"])
    assert len(model.members_) == (shares > 0).sum() and METRIC in model.reason_


def test_a_blend_that_gains_nothing_on_other_users_gives_way_to_the_best_model(
    movies, few_trials
) -> None:
    found = recae.AutoEnsemble(minutes=1, metric="ndcg@10", members=MEMBERS)
    found.fit(movies.train, movies.validation)
    table = found.tried_
    assert table["weight"].tolist() == [1.0, 0.0, 0.0] and table["model"][0] in found.reason_
    (member,) = found.members_
    expected = member.clone().fit(movies.train).recommend(history=movies.train, k=5)
    shown = found.recommend(history=movies.train, k=5)
    assert shown["item_id"].tolist() == expected["item_id"].tolist()


def test_it_comes_back_from_disk_with_what_it_tried(movies, model, tmp_path) -> None:
    read = recae.load(model.save(tmp_path / "model", with_history=True))
    np.testing.assert_array_equal(read.score(movies.train), model.score(movies.train))
    pd.testing.assert_frame_equal(read.tried_, model.tried_)
    assert read.reason_ == model.reason_ and read.get_params() == model.get_params()
    assert [repr(member) for member in read.members_] == [repr(member) for member in model.members_]
    assert read.fingerprint() == model.fingerprint()
    assert read.clone().get_params() == model.get_params()


def test_it_explains_and_exports_like_any_ensemble(movies, model, tmp_path) -> None:
    user = movies.train.users.ids[3]
    listed = model.recommend(user, k=2)
    why = model.explain(movies.train.select_users([3]), items=listed["item_id"].tolist())
    assert set(why.totals["item_id"]) == set(listed["item_id"])
    model.export(tmp_path / "top.parquet", movies.train, k=2)
    exported = pd.read_parquet(tmp_path / "top.parquet")
    found = exported[exported["user_id"] == user]["item_id"].tolist()
    assert found == listed["item_id"].tolist()


def test_without_validation_the_members_are_fitted_again_on_everything(movies, few_trials) -> None:
    data = movies.train
    model = recae.AutoEnsemble(minutes=1, metric=METRIC, members=MEMBERS).fit(data, seed=2)
    train, fold = split_for_validation(data, seed=2)
    chosen = recae.AutoEnsemble(minutes=1, metric=METRIC, members=MEMBERS).fit(train, fold, seed=2)
    assert np.array_equal(chosen.member_weights_, model.member_weights_)
    for member, other in zip(model.members_, chosen.members_, strict=True):
        again = other.clone().fit(data, seed=2)
        assert repr(member) == repr(other)
        np.testing.assert_array_equal(member.score(data), again.score(data))
    assert model.history_ is data and model.items_ == data.items


def test_a_killed_fit_resumes_in_its_folder(movies, few_trials, tmp_path, monkeypatch) -> None:
    one = import_module("recae.tuning.one")
    attempt, done = one.attempt, []

    def interrupted(*args):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(attempt(*args))
        return done[-1]

    def fit() -> recae.AutoEnsemble:
        made = recae.AutoEnsemble(minutes=1, metric=METRIC, members=MEMBERS)
        return made.fit(movies.train, movies.validation, checkpoint=tmp_path / "search")

    monkeypatch.setattr(one, "attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit()
    done.clear()
    monkeypatch.setattr(one, "attempt", lambda *args: done.append(0) or attempt(*args))
    again = fit()
    assert len(done) == 2 * 3 - 4
    whole = recae.AutoEnsemble(minutes=1, metric=METRIC, members=MEMBERS)
    whole.fit(movies.train, movies.validation)
    np.testing.assert_array_equal(again.score(movies.train), whole.score(movies.train))


def test_models_without_room_are_skipped(movies, monkeypatch) -> None:
    candidates = import_module("recae.tuning.candidates")
    data, vae = movies.train, recae.MultVAE()
    cubed, matrix = data.n_items**3, 4 * data.n_items**2
    monkeypatch.setattr(candidates, "speed", lambda: float(cubed))  # an inverse takes a second
    assert Room(data).refuse(recae.EASE(), 0.1, 6.0) == ""
    assert "may take" in Room(data).refuse(recae.EASE(), 3.0, 0.05)
    epochs = 6 * data.n_users * data.n_items * 300 * 20 / (4 * cubed)
    assert Room(data).refuse(vae, epochs * 1.01, 0.0) == ""
    assert "20 epochs" in Room(data).refuse(vae, epochs * 0.99, 1e9)
    assert Room(data).refuse(recae.SLIM(), 50.1, 0.0) == ""
    assert "50 s" in Room(data).refuse(recae.SLIM(), 49.9, 1e9)
    memory = 5 * matrix / candidates.SPARE  # an inverse, the best one, and two of other models
    monkeypatch.setattr(candidates, "total_memory", lambda: memory + 1)
    room = Room(data)
    size = data.n_users if data.n_users < 0.75 * data.n_items else data.n_items
    fitting = int((5 * matrix - 4 * size**2 - 2 * matrix) // matrix) + 1
    assert [room.refuse(recae.EASE(), 9.0, 9.0) for _ in range(fitting)] == [""] * fitting
    assert "GB beside" in room.refuse(recae.EASE(), 9.0, 9.0)
    assert room.refuse(recae.SVDAE(), 0.0, 0.0) == ""


def test_data_with_times_are_held_out_in_time_if_enough_users_remain() -> None:
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(210), 10)})
    frame["timestamp"] = np.tile(np.arange(10), 210)
    frame["item_id"] = (frame["user_id"] + 3 * frame["timestamp"]) % 17
    train, fold = split_for_validation(Interactions.from_frame(frame), seed=0)
    assert train.times.max() == 8 and fold.target.nnz == 210
    train, fold = split_for_validation(Interactions.from_frame(frame[frame["user_id"] < 199]), 0)
    assert train.times.max() == 9 and fold.target.n_users == 199


def test_at_most_ten_thousand_users_are_held_out() -> None:
    data = Interactions.from_csr(sp.csr_matrix(np.ones((10_100, 3))))
    train, fold = split_for_validation(data, seed=0)
    assert fold.target.n_users == 10_000 and train.n_users == 10_100


def test_of_many_items_fewer_users_are_held_out() -> None:
    ones = sp.csr_matrix(np.ones((2_100, 3)))
    many = sp.csr_matrix((ones.data, ones.indices * 40_000, ones.indptr), shape=(2_100, 100_000))
    _, fold = split_for_validation(Interactions.from_csr(many), seed=0)
    assert fold.target.n_users == 2_000


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"minutes": 0.0}, "minutes"),
        ({"members": ()}, "members"),
        ({"members": ("EASY()",)}, "model in members"),
        ({"metric": "coverage@5"}, "metric"),
    ],
)
def test_bad_settings_are_refused_before_any_fit(movies, options, parameter) -> None:
    with pytest.raises(ConfigError) as caught:
        recae.AutoEnsemble(**options).fit(movies.train)
    assert caught.value.parameter == parameter
