"""Warnings point at the caller's line, flags are flags, and too little memory has one name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection

import numpy as np
import pandas as pd
import pytest

import recae
from recae.errors import ArgumentError, check_option
from recae.errors.names import PEERS, folded, nearest
from recae.system.machine import enough_memory


def line_here() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_warning_names_the_line_that_asked(int_data: recae.Interactions) -> None:
    model = recae.Popularity().fit(int_data)
    odd = pd.DataFrame({"user_id": [1, 1], "item_id": [int_data.items.ids[0], 10**6]})
    calls = (
        lambda: (model.recommend(history=odd), line_here()),
        lambda: (model.score(odd), line_here()),
        lambda: (model.recommend([10**6], on_unknown="skip"), line_here()),
    )
    for call in calls:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, line = call()
        assert [(entry.filename, entry.lineno) for entry in caught] == [(__file__, line)]


@pytest.mark.parametrize("value", ["no", 0, None, "False"])
def test_flags_are_true_or_false(int_data: recae.Interactions, tmp_path, value: object) -> None:
    model = recae.Popularity().fit(int_data)
    message = f"True .*False, not {value!r}"
    for call in (
        lambda: model.recommend(exclude_seen=value),
        lambda: model.recommend_array(int_data, exclude_seen=value),
        lambda: model.export(tmp_path / "top.parquet", exclude_seen=value),
        lambda: model.save(tmp_path / "model", overwrite=value),
        lambda: model.save(tmp_path / "model", with_history=value),
    ):
        with pytest.raises(recae.ConfigError, match=message) as caught:
            call()
        assert caught.value.parameter in ("exclude_seen", "overwrite", "with_history")
        assert caught.value.value is value
    assert not list(tmp_path.iterdir())
    assert len(model.recommend(k=1, exclude_seen=np.bool_(False)))


@pytest.mark.parametrize("value", ["x", 1, "auto"])
def test_progress_is_true_false_or_none(int_data: recae.Interactions, value: object) -> None:
    message = f"progress .*True, False .*None.* {value!r}"
    frame = pd.DataFrame({"user_id": [1], "item_id": [1]})
    model = recae.Popularity().fit(int_data)
    fold = recae.data.splits.holdout_pairs(int_data, 0.2).validation
    for call in (
        lambda: recae.Popularity().fit(int_data, progress=value),  # which shows none
        lambda: recae.Interactions.from_frame(frame, progress=value),
        lambda: recae.evaluate(model, fold, progress=value),
        lambda: model.export("top.parquet", progress=value),
    ):
        with pytest.raises(recae.ConfigError, match=message) as caught:
            call()
        assert caught.value.parameter == "progress" and caught.value.value is value


def test_a_seed_is_no_truth_value(int_data: recae.Interactions) -> None:
    with pytest.raises(recae.ConfigError, match="seed .*>= 0, not True") as caught:
        recae.Popularity().fit(int_data, seed=True)
    assert caught.value.parameter == "seed" and caught.value.value is True


@pytest.mark.parametrize("model", [recae.MultVAE, recae.ALS, recae.BPR])
def test_what_does_not_fit_in_memory_says_so(int_data: recae.Interactions, model) -> None:
    with pytest.raises(
        recae.errors.CapacityError, match=r"fitting \w+\(latent=1000000000000\).*fit in"
    ):
        model(latent=10**12).fit(int_data)


def test_other_errors_stay_what_they_are() -> None:
    for error in (
        RuntimeError("size mismatch"),
        KeyError("a"),
        recae.errors.TrainingError("diverged"),
    ):
        with pytest.raises(type(error)) as caught, enough_memory("it"):
            raise error
        assert caught.value is error
    for error in (MemoryError("x"), RuntimeError("CUDA out of memory. Tried to allocate")):
        with pytest.raises(recae.errors.CapacityError, match="it .*not fit .*memory"):
            with enough_memory("it"):
                raise error


def test_validation_with_unknown_items_warns_once_not_each_epoch(
    int_data: recae.Interactions,
) -> None:
    split = recae.data.splits.holdout_pairs(int_data, 0.3, seed=1)
    train = split.train.filter(min_per_item=12)  # so that some items are gone
    assert train.n_items < int_data.n_items and split.validation is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", recae.errors.UnusedWeights)
        model = recae.MultVAE(hidden=(8,), latent=4, epochs=3).fit(train, split.validation)
    assert len(model.epochs_) == 3
    assert ["left out" in str(entry.message) for entry in caught] == [True]


@pytest.mark.parametrize("known", [("a", "b"), {"a": 1, "b": 2}])
@pytest.mark.parametrize("value", [["a"], {}, np.array(["a", "b"]), 3, None, "c"])
def test_options_of_any_type_are_refused(value: object, known: Collection[str]) -> None:
    with pytest.raises(recae.ConfigError, match="unknown way .*Known: a, b") as caught:
        check_option("way", value, known)
    assert caught.value.parameter == "way" and caught.value.value is value
    check_option("way", "a", known)


@pytest.mark.parametrize(
    ("call", "name", "meant"),
    [
        (lambda: recae.EASE(reg=3), "reg", "'l2'"),
        (lambda: recae.ALS(factors=64), "factors", "'latent'"),
        (lambda: recae.MultVAE(mlp_hidden_size=64), "mlp_hidden_size", "'hidden'"),
        (lambda: recae.ItemKNN(K=20), "K", "'neighbours'"),
        (lambda: recae.Autoencoder(n_components=2), "n_components", "'latent'"),
        (lambda: recae.MultVAE().fit(None, epochs=3), "epochs", "MultVAE(epochs=3)"),
        (lambda: recae.EASE().recommend(n=5), "n", "'k'"),
        (lambda: recae.EASE().recommend(filter_items=[5]), "filter_items", "'exclude_items'"),
        (lambda: recae.EASE().save("m", force=True), "force", "'overwrite'"),
        (lambda: recae.RandomSplit(test_size=0.2), "test_size", "'test'"),
        (lambda: recae.Interactions.from_frame(None, user_col="u"), "user_col", "'user'"),
        (lambda: recae.read_csv("a", delimiter=";"), "delimiter", "'sep'"),
        (lambda: recae.tune(None, None, n_trials=3), "n_trials", "'trials'"),
        (lambda: recae.evaluate(None, None, metric="ndcg@5"), "metric", "'metrics'"),
    ],
)
def test_an_argument_that_is_none_is_answered_with_the_right_one(call, name, meant) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.parameter == name and meant in str(caught.value)
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, recae.ConfigError)


def test_too_many_arguments_without_a_name() -> None:
    with pytest.raises(ArgumentError, match="l2"):
        recae.EASE(3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="history"):
        recae.EASE().recommend([1], 5, None)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["MultiVAE", "Ease", "AlternatingLeastSquares", "read_table_"])
def test_a_name_that_recae_lacks_is_answered(name: str) -> None:
    with pytest.raises(AttributeError, match="'(MultVAE|EASE|ALS|read_table)'"):
        getattr(recae, name)
    assert not hasattr(recae, name) and not hasattr(recae, "__nothing__")
    with pytest.raises(ImportError, match="'(MultVAE|EASE|ALS|read_table)'"):
        exec(f"from recae import {name}", {})


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("Mult_VAE", ["ease", "mult-vae"], "mult-vae"),
        ("L2", ["l2", "lr"], "l2"),
        ("learning_rate", ["l2", "lr"], "lr"),
        ("topn", ["k", "users"], "k"),
        ("wieghts", ["l2", "weights"], "weights"),
        ("zebra", ["l2", "weights"], None),
        ("", ["l2"], None),
        (None, ["l2"], None),
        (3, ["l2"], None),
    ],
)
def test_the_nearest_name(typed: object, known: list[str], meant: str | None) -> None:
    assert nearest(typed, known) == meant


def test_a_right_name_is_never_corrected() -> None:
    fields = {key for model in recae.MODELS.values() for key in model.param_fields()}
    assert {"latent", "l2", "epochs", "hidden", "lr", "neighbours"} <= fields
    assert all(nearest(name, fields) == name for name in fields)
    theirs = [name for line in PEERS.strip().splitlines() for name in line.split(": ")[1].split()]
    assert len({folded(name) for name in theirs}) > 200


def test_every_public_function_answers_an_argument_it_does_not_have() -> None:
    for name in recae.__all__:
        found = getattr(recae, name)
        public = inspect.isclass(found) or inspect.isfunction(found)
        if not public or found is recae.Recommender or name.endswith(("Error", "Warning")):
            continue
        with pytest.raises(ArgumentError) as caught:
            found(zebra=1)
        assert caught.value.parameter == "zebra", name


def test_a_model_that_is_none_is_answered() -> None:
    with pytest.raises(recae.ConfigError, match="'mult-vae'"):
        recae.MODELS["MultiVAE"]
    assert recae.MODELS.get("MultiVAE") is None and "MultiVAE" not in recae.MODELS
