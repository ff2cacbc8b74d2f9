"""The laws of hyperparameters after fitting, of odd arguments, and of permutations."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import recae
from recae import ConfigError, Interactions, RecaeWarning
from recae.recommend.weights import learn_weighting
from recae.training import Run
from tests.laws import assert_same_scores


def test_hyperparameters_survive_json(make) -> None:
    params = make().get_params()
    again = {
        k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(json.dumps(params)).items()
    }
    assert again == params
    assert type(make())(**again).get_params() == params


def test_a_fitted_model_refuses_settings_that_it_was_not_fitted_with(
    make, text_data, tmp_path
) -> None:
    model = make().fit(text_data, seed=1)
    before = model.score(text_data)
    for name, value in make().get_params().items():
        if isinstance(value, bool):
            other: object = not value
        elif isinstance(value, int | float):
            other = value + 1
        elif isinstance(value, tuple):
            other = (*value, 7)
        else:
            other = "both"
        if other == value:
            continue
        model.set_params(**{name: other})
        for ask in (
            lambda: model.recommend(),
            lambda: model.score(text_data),
            lambda: model.save(tmp_path / "model"),
        ):
            with pytest.raises(ConfigError, match=f"{name} .* fitted "):
                ask()
        model.set_params(**{name: value})
        np.testing.assert_array_equal(model.score(text_data), before)
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.score(text_data), before)


def test_a_list_as_long_as_you_like_costs_nothing(fitted, text_data, tmp_path) -> None:
    pd.testing.assert_frame_equal(fitted.recommend(k=10**12), fitted.recommend(k=16))
    assert fitted.export(tmp_path / "top.parquet", k=10**12) == len(fitted.recommend(k=16))


@pytest.mark.parametrize(
    "nobody", [[], (), np.array([]), np.array([], dtype=object), pd.Series([])]
)
def test_nobody_gets_nothing(fitted, nobody) -> None:
    frame = fitted.recommend(nobody)
    assert frame.empty and list(frame.columns) == ["user_id", "item_id", "score", "rank"]


def test_users_in_another_order_have_the_same_rows(fitted, text_data) -> None:
    order = np.random.default_rng(3).permutation(text_data.n_users)
    scores = fitted.score(text_data.select_users(order))
    assert_same_scores(scores, fitted.score(text_data)[order])


def test_a_history_with_its_items_in_another_order_is_the_same(fitted, text_data) -> None:
    order = np.random.default_rng(4).permutation(text_data.n_items)
    shuffled = text_data.select_items(order)
    assert isinstance(shuffled, Interactions)
    np.testing.assert_array_equal(fitted.score(shuffled), fitted.score(text_data))


def test_callbacks_are_called_after_every_epoch_or_warned_of(make, text_data) -> None:
    seen: list[recae.training.Epoch] = []
    model, epochs = make(), make().get_params().get("epochs")
    if epochs is None:
        with pytest.warns(RecaeWarning, match=f"{type(model).__name__} .*callbacks"):
            model.fit(text_data, callbacks=seen.append)
        assert not seen
        return
    assert model.uses_callbacks
    model.fit(text_data, callbacks=seen.append)
    assert [epoch.number for epoch in seen] == [*range(1, epochs + 1)]
    assert all(np.isfinite(epoch.loss) and epoch.seconds >= 0 for epoch in seen)
    seen.clear()
    stopped = make().fit(text_data, callbacks=lambda epoch: seen.append(epoch) or True)
    assert len(seen) == 1 and np.isfinite(stopped.score(text_data)).all()


def test_a_checkpoint_is_kept_or_warned_of(make, text_data, tmp_path) -> None:
    model = make()
    if model.uses_checkpoint and model.get_params().get("epochs"):
        return  # tests/training and test_als.py resume from it
    with pytest.warns(RecaeWarning, match=f"{type(model).__name__} .*checkpoint"):
        model.fit(text_data, checkpoint=tmp_path / "state")
    assert not any(tmp_path.iterdir())


class Watched(Run):
    """The options of a fit, and which of them it looked at."""

    looked_at: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Watched.looked_at.add(name)
        return super().__getattribute__(name)


def test_a_model_says_which_options_it_uses(make, text_data) -> None:
    model, run = make(), Watched()
    Watched.looked_at.clear()
    learn_weighting(model, text_data)
    model._fit(text_data, None, run)
    if model.name != "ensemble":  # hands all of them on
        for option in ("seed", "device", "callbacks", "checkpoint"):
            used = getattr(model, f"uses_{option}")
            assert (option in Watched.looked_at) == used, option


@pytest.mark.parametrize("kind", [recae.ALS, recae.BPR, recae.NMF, recae.ItemKNN])
def test_a_gpu_that_is_not_used_is_warned_of(kind, monkeypatch) -> None:
    data = recae.testing.planted().binarised()
    run = Run(device=torch.device("cuda"))
    monkeypatch.setattr(Run, "checked", lambda *options: run)
    with pytest.warns(RecaeWarning, match=f"{kind.__name__} .*'cuda:0'"):
        kind(**kind.small).fit(data, device="cuda:0")


def test_arrays_far_longer_than_the_catalogue_are_refused(fitted, text_data) -> None:
    assert fitted.recommend_array(text_data, k=400).items.shape == (36, 400)
    with pytest.raises(ConfigError, match="k=1,000,000,000 .*16 items"):
        fitted.recommend_array(text_data, k=10**9)


@pytest.mark.parametrize("callbacks", [3, None, [3], "print"])
def test_what_cannot_be_called_is_refused_before_training(make, text_data, callbacks) -> None:
    with pytest.raises(ConfigError, match="callbacks .*functions .*Epoch"):
        make().fit(text_data, callbacks=callbacks)


@pytest.mark.parametrize("path", [None, 3, "", "a\0b"])
def test_what_is_no_path_is_refused(fitted, path) -> None:
    for ask in (fitted.save, fitted.export, recae.load):
        with pytest.raises(ConfigError, match="path .*, not "):
            ask(path)


def test_presets_are_settings_that_can_be(name) -> None:
    model = recae.MODELS[name]
    for preset in model.presets:
        made = model.preset(preset)
        made.check_params()
        assert made.get_params() == model().get_params() | dict(model.presets[preset])
    with pytest.raises(ConfigError, match=f"preset .*{model.__name__} 'papr'"):
        model.preset("papr")


def test_models_with_published_settings_have_the_settings_of_their_papers() -> None:
    assert {name for name, model in recae.MODELS.items() if "paper" in model.presets} == {
        *("ease", "edlae", "rlae", "rdlae"),
        *("mult-dae", "mult-vae", "rec-vae", "h-vamp", "elsa", "cdae", "flvae", "vasp"),
        *("diff-rec", "l-diff-rec", "flow-cf", "giff-cf"),
    }
