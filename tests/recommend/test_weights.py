"""The weights that models use: transforms in fit and in scoring, saved, and what is warned of."""

from __future__ import annotations

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Interactions, RecaeWarning
from recae.data.weighting import TRANSFORMS, Weighting
from recae.errors import UnusedWeights
from recae.estimators.saved import ARRAYS

rng = np.random.default_rng(8)
COUNTS = rng.integers(1, 90, (30, 14)) * (rng.random((30, 14)) < 0.4)
PLAYS = Interactions.from_csr(sp.csr_matrix(COUNTS.astype(np.float32)))
NEW = sp.csr_matrix(COUNTS[::-1, ::-1][:5].astype(np.float32))

USING = {
    name: model
    for name, model in recae.MODELS.items()
    if "weights" in model.param_fields() and name != "auto-rec"
}
KINDS = ["als", "ease", "infinite-ae", "item-knn", "mult-vae", "popularity", "pure-svd"]
KINDS += ["sparse-ease", "svd-ae", "user-knn"]


def make(name: str, **params: Any) -> recae.Recommender:
    model = recae.MODELS[name]
    where = model.param_fields()["weights"].metadata["choices"][-1]
    return model(**(model.small | {"weights": where} | params))


def test_every_model_that_uses_weights_can_transform_them() -> None:
    for model in USING.values():
        assert model.param_fields()["weight_transform"].metadata["choices"] == TRANSFORMS
        assert model().weight_transform == "none"


@pytest.mark.parametrize("transform", ["log1p", "bm25", "quantile"])
@pytest.mark.parametrize("name", KINDS)
def test_a_transform_is_that_of_the_data(name: str, transform: str) -> None:
    """The same model as one that is given data and histories transformed by hand."""
    learnt = Weighting.learn(transform, PLAYS.matrix)
    by_hand = make(name).fit(Interactions.from_csr(learnt.apply(PLAYS.matrix)))
    model = make(name, weight_transform=transform).fit(PLAYS)
    expected = by_hand.score(learnt.apply(NEW))
    np.testing.assert_allclose(model.score(NEW), expected, rtol=1e-5, atol=1e-6)
    if name in ("als", "pure-svd", "mult-vae"):
        np.testing.assert_allclose(
            model.embed_users(NEW), by_hand.embed_users(learnt.apply(NEW)), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("name", KINDS)
def test_binarised_weights_are_no_weights(name: str) -> None:
    model = make(name, weight_transform="binarise").fit(PLAYS)
    plain = make(name, weights="neither").fit(PLAYS.binarised())
    np.testing.assert_array_equal(model.score(NEW), plain.score(NEW))


def test_targets_alone_are_transformed_where_only_targets_have_weights() -> None:
    model = make("mult-vae", weights="target", weight_transform="log1p").fit(PLAYS)
    np.testing.assert_array_equal(model.score(NEW), model.score(5 * NEW))


@pytest.mark.parametrize("name", ["ease", "als", "mult-vae"])
def test_what_bm25_learnt_is_saved(name: str, tmp_path) -> None:
    model = make(name, weight_transform="bm25").fit(PLAYS)
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.score(NEW), model.score(NEW))
    assert loaded.fingerprint() == model.fingerprint()


def test_the_members_of_an_ensemble_keep_what_they_learnt(tmp_path) -> None:
    members = ("EASE(weights='both', weight_transform='bm25', l2=3.0)", "Popularity()")
    model = recae.Ensemble(members=members).fit(PLAYS)
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.score(NEW), model.score(NEW))


def test_a_saved_transform_of_other_items_is_refused(tmp_path) -> None:
    from safetensors.numpy import load_file, save_file

    path = make("als", weight_transform="bm25").fit(PLAYS).save(tmp_path / "model")
    arrays = load_file(path / ARRAYS)
    save_file({**arrays, "weighting.idf": arrays["weighting.idf"][:-1]}, path / ARRAYS)
    with pytest.raises(DataError):
        recae.load(path)


@pytest.mark.parametrize("name", sorted(USING))
def test_a_transform_of_weights_that_are_not_used_is_refused(name: str) -> None:
    model = recae.MODELS[name](weight_transform="log1p")
    with pytest.raises(ConfigError) as caught:
        model.fit(PLAYS)
    assert caught.value.parameter == "weights"


def messages(model: recae.Recommender, data: Interactions) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data)
    return caught


def times(low: float, high: float) -> Interactions:
    weights = np.where(COUNTS > 0, low, 0)
    weights[np.nonzero(COUNTS)[0][0], np.nonzero(COUNTS)[1][0]] = high
    return Interactions.from_csr(sp.csr_matrix(weights))


@pytest.mark.parametrize(("high", "warned"), [(100, False), (101, True), (352698, True)])
def test_raw_weights_of_more_than_two_orders_of_magnitude_are_warned_of(high, warned) -> None:
    caught = messages(recae.Popularity(weights="target"), times(1, high))
    assert [w.category for w in caught] == [RecaeWarning] * warned
    assert all("weight_transform=log1p" in str(w.message) for w in caught)
    transformed = recae.Popularity(weights="target", weight_transform="quantile")
    assert messages(transformed, times(1, high)) == []


@pytest.mark.parametrize("name", ["als", "bpr", "ease", "mult-dae", "popularity"])
def test_weights_that_are_not_used_are_mentioned_once(name: str) -> None:
    (caught,) = messages(recae.MODELS[name](**recae.MODELS[name].small), PLAYS)
    assert caught.category is UnusedWeights
    known = recae.MODELS[name].param_fields()
    if "weights" in known:
        assert f"--set weights={known['weights'].metadata['choices'][-1]}" in str(caught.message)


def test_weights_that_say_nothing_are_not_missed() -> None:
    for data in (PLAYS.binarised(), times(4, 5)):
        assert messages(recae.EASE(), data) == []
    assert messages(recae.Random(), PLAYS) == []


def test_an_ensemble_speaks_for_its_members_only() -> None:
    members = ("EASE(weights='both', l2=3.0)", "Popularity()")
    (caught,) = messages(recae.Ensemble(members=members), PLAYS)
    assert "Popularity" in str(caught.message)


def test_a_search_decides_where_the_data_have_weights() -> None:
    split = recae.data.splits.holdout_pairs(PLAYS, 0.3)
    assert split.validation is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuning = recae.tune(recae.PureSVD(latent=3), split.train, split.validation, trials=8)
    assert not [w for w in caught if w.category is UnusedWeights]
    settings = tuning.trials[["weights", "weight_transform"]]
    assert set(settings["weights"]) == {"neither", "both"}
    assert set(settings["weight_transform"][settings["weights"] == "neither"]) == {"none"}
    ones = recae.data.splits.holdout_pairs(PLAYS.binarised(), 0.3)
    plain = recae.tune(recae.PureSVD(latent=3), ones.train, ones.validation, trials=1)
    assert "weights" not in plain.trials


def test_a_search_that_does_not_use_weights_mentions_them_once() -> None:
    split = recae.data.splits.holdout_pairs(PLAYS, 0.3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recae.tune(recae.EASE(), split.train, split.validation, trials=2, space={"l2": (1.0, 50.0)})
    assert [w.category for w in caught] == [UnusedWeights]


def missing(call: Any) -> bool:
    """Whether a call warns that histories have no weights, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    said = [str(warning.message) for warning in caught]
    found = [text for text in said if "1 to 89" in text]
    assert len(found) <= 1
    return bool(found)


BARE = PLAYS.binarised()
FRAME = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [3, 5, 4]})
ENTRANCES: dict[str, Any] = {
    "recommend": lambda model, data: model.recommend(k=2, history=data),
    "arrays": lambda model, data: model.recommend_array(data, k=2),
    "score": lambda model, data: model.score(data),
    "pairs": lambda model, data: model.score_pairs(PLAYS.select_users([0]), history=data),
    "embed": lambda model, data: model.embed_users(data),
    "users": lambda model, data: model.similar_users(k=1, history=data, among=PLAYS),
    "export": lambda model, data: model.export("lists.parquet", history=data, overwrite=True),
    "evaluate": lambda model, data: recae.evaluate(model, recae.Fold(data, PLAYS), ["recall@5"]),
}


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_histories_without_weights_are_warned_of(entrance, loaded, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = recae.PureSVD(latent=3, weights="both").fit(PLAYS)
    if loaded:
        model = recae.load(model.save("model"))
    call = ENTRANCES[entrance]
    assert missing(lambda: call(model, BARE))
    assert not missing(lambda: call(model, PLAYS))
    plain = recae.PureSVD(latent=3).fit(BARE)
    assert not missing(lambda: call(plain, BARE))


@pytest.mark.parametrize(
    ("model", "warned"),
    [
        (recae.EASE(weights="both"), True),
        (recae.ALS(latent=2, weights="target"), True),
        (recae.MultVAE(latent=2, hidden=(4,), epochs=1, weights="input"), True),
        (recae.MultVAE(latent=2, hidden=(4,), epochs=1, weights="target"), False),
        (recae.Popularity(weights="target"), False),
        (recae.Ensemble(members=("EASE(weights='both')", "Popularity()")), True),
    ],
    ids=repr,
)
def test_which_models_miss_weights(model: recae.Recommender, warned: bool) -> None:
    model.fit(PLAYS)
    assert missing(lambda: model.recommend(k=2, history=FRAME)) == warned
    assert missing(lambda: model.recommend(k=2, history=BARE.matrix)) == warned
    lists: list[Any] = [[3, 5], {1: [3, 5]}]  # which have no place for weights
    assert not any(missing(partial(model.recommend, k=2, history=ids)) for ids in lists)
    assert not missing(lambda: model.recommend_ids([3, 5], k=2))
    assert not missing(lambda: model.recommend(k=2))


def test_the_blend_of_fitted_models_misses_their_weights(tmp_path) -> None:
    ease, popular = recae.EASE(weights="both").fit(PLAYS), recae.Popularity().fit(PLAYS)
    blend = recae.Ensemble.of([popular, ease])
    again = blend.with_members(blend.members_)
    for model in (blend, recae.load(blend.save(tmp_path / "blend")), again):
        assert missing(lambda model=model: model.recommend(k=2, history=BARE))
        assert not missing(lambda model=model: model.recommend(k=2, history=PLAYS))
    assert not missing(lambda: recae.Ensemble.of([popular]).recommend(k=2, history=BARE))


def test_weights_that_become_ones_are_not_missed() -> None:
    model = recae.EASE(weights="both", weight_transform="binarise").fit(PLAYS)
    assert not missing(lambda: model.recommend(k=2, history=BARE))


def test_validation_histories_without_weights_are_warned_of() -> None:
    for data, history, warned in ((PLAYS, BARE, True), (PLAYS, PLAYS, False), (BARE, BARE, False)):
        model = recae.MultVAE(latent=2, hidden=(4,), epochs=1, weights="input")
        fold = recae.Fold(history, PLAYS)
        assert missing(partial(model.fit, data, fold)) == warned


def test_the_page_names_every_model_and_its_choices() -> None:
    page = Path(recae.__file__).parents[1] / "docs" / "weights.md"
    table = page.read_text(encoding="utf-8").split("## Which model")[1]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    named = {name: cell for names, cell, _ in rows for name in re.findall("`(.+?)`", names)}
    assert set(named) == {model.__name__ for model in recae.MODELS.values()}
    for model in USING.values():
        choices = re.findall("`(.+?)`", named[model.__name__])
        assert tuple(choices) == model.param_fields()["weights"].metadata["choices"]
