"""Ranges and choices: what is read, what is refused, and what is proposed of them."""

from __future__ import annotations

import numpy as np
import pytest

import recae
from recae import ConfigError
from recae.tuning.space import Choices, Range, read_space
from recae.tuning.study import Study, Trial


def proposed(model: recae.Recommender, given: object, count: int, sampler: str = "random") -> list:
    """The settings that a study proposes after those of the template."""
    study = Study(read_space(model, given), sampler, 0, None, {})
    for number in range(count + 1):
        params = study.ask(model.get_params())
        study.tell(Trial(number, params, 0.5, 1.0, 1.0, None, "complete"), None)
    return [trial.params for trial in study.trials[1:]]


def test_the_usual_ranges_are_the_default() -> None:
    declared = recae.MultVAE.param_fields()
    searched = {n for n, f in declared.items() if len(f.metadata["usual"] or ()) > 1}
    weighted = read_space(recae.MultVAE(hidden=(600, 200)), None, weighted=True)
    assert set(weighted.parts) == searched
    space = read_space(recae.MultVAE(hidden=(600, 200)), None)
    assert searched - set(space.parts) == {"weights", "weight_transform"}
    for name, part in space.parts.items():
        assert (part.low, part.high) == tuple(declared[name].metadata["usual"])
    assert list(space.coordinates())[4:7] == ["hidden[0]", "hidden[1]", "l2"]
    assert list(space.parts) == sorted(space.parts)


@pytest.mark.parametrize("name", sorted(set(recae.MODELS) - {"ensemble", "popularity", "random"}))
def test_every_model_has_something_to_search_and_takes_what_is_proposed(name: str) -> None:
    model = recae.MODELS[name]()
    for params in proposed(model, None, 5):
        assert set(params) <= set(model.param_fields()) - {"metric"}
        for key, value in params.items():
            assert isinstance(value, type(getattr(model, key)))
        model.set_params(**params).check_params()


def test_one_usual_choice_is_none() -> None:
    assert "precision" not in read_space(recae.EASE(), None).parts


def test_a_range_is_logarithmic_where_it_spans_ten_times() -> None:
    parts = read_space(
        recae.EDLAE(), {"l2": (100, 2000), "dropout": (0, 0.8), "item_power": (0.1, 0.5)}
    ).parts
    assert {name: part.log for name, part in parts.items()} == {
        "l2": True,
        "dropout": False,
        "item_power": False,
    }
    drawn = [p["l2"] for p in proposed(recae.EDLAE(), {"l2": (1.0, 10_000.0)}, 60)]
    assert 20 < sum(value < 100 for value in drawn) < 40  # half of the magnitudes
    assert all(float(f"{value:.3g}") == value and 1 <= value <= 10_000 for value in drawn)
    drawn = [p["dropout"] for p in proposed(recae.EDLAE(), {"dropout": (0.0, 0.8)}, 60)]
    assert 0.33 < np.mean(drawn) < 0.47 and all(round(value, 4) == value for value in drawn)


def test_a_narrow_range_keeps_its_digits() -> None:
    drawn = {p["dropout"] for p in proposed(recae.EDLAE(), {"dropout": (0.9, 0.901)}, 20)}
    assert len(drawn) == 20 and all(0.9 <= value <= 0.901 for value in drawn)


def test_integers_stay_integers_and_numbers_become_floats() -> None:
    space = {"latent": (16, 512), "hidden": (64, 1024), "lr": [1e-3, 1e-2], "beta": (0, 1)}
    for params in proposed(recae.MultVAE(hidden=(600, 200)), space, 10):
        assert type(params["latent"]) is int and 16 <= params["latent"] <= 512
        assert len(params["hidden"]) == 2 and all(type(width) is int for width in params["hidden"])
        assert type(params["beta"]) is float and params["lr"] in (1e-3, 1e-2)


def test_choices_are_given_back_as_they_are() -> None:
    space = {"hidden": [(600,), (600, 200)], "mirror": [True, False], "optimiser": ["adam"]}
    # A template outside the space takes none of its four settings.
    params = proposed(recae.MultVAE(hidden=(7,)), space, 4, "tpe")
    assert {p["hidden"] for p in params} == {(600,), (600, 200)}
    assert {(p["hidden"], p["mirror"]) for p in params} == {
        (hidden, mirror) for hidden in ((600,), (600, 200)) for mirror in (True, False)
    }
    assert all(p["mirror"] in (True, False) and p["optimiser"] == "adam" for p in params)


def test_all_of_a_finite_space() -> None:
    space = read_space(recae.MultVAE(), {"latent": (2, 4), "mirror": [True, False]})
    assert len(list(space.all())) == 6 and {"latent": 3, "mirror": False} in list(space.all())
    assert read_space(recae.EASE(), {"l2": (1, 2)}).all() is None
    assert read_space(recae.MultVAE(hidden=(1, 1)), {"hidden": (1, 500)}).all() is None


def test_settings_and_coordinates() -> None:
    space = read_space(recae.MultVAE(hidden=(9, 8)), {"hidden": (64, 99), "optimiser": ["adam"]})
    assert space.place({"hidden": (70, 80), "optimiser": "adam"}) == {
        "hidden[0]": 70,
        "hidden[1]": 80,
        "optimiser": 0,
    }
    assert space.place({"hidden": (1, 1000), "optimiser": "adam"})["hidden[1]"] == 99
    assert space.place({"hidden": (70,), "optimiser": "adam"}) is None
    assert space.place({"hidden": (70, 80), "optimiser": "nadam"}) is None
    assert isinstance(space.parts["hidden"], Range) and isinstance(
        space.parts["optimiser"], Choices
    )


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (recae.EASE(), {"l3": (1, 2)}, "unknown hyperparameter .*space 'l3'"),
        (recae.EASE(), {"l2": (-1, 2)}, "> 0, not -1 .*space"),
        (recae.EASE(), {"l2": [1, "a"]}, "> 0, not 'a'"),
        (recae.EASE(), {"l2": (1, float("inf"))}, "> 0, not inf"),
        (recae.EASE(), {"l2": (2, 2)}, r"low < high, not \(2, 2\)"),
        (recae.EASE(), {"l2": (1, 2, 3)}, r"\(low, high\), not \(1, 2, 3\)"),
        (recae.EASE(), {"l2": 5}, "range, .*list .*, not 5"),
        (recae.EASE(), {"l2": []}, "no choices"),
        (recae.EASE(), {"l2": [1, 2, 1.0]}, "1.0 twice"),
        (recae.EASE(), {"precision": ("auto", "float32")}, "no order"),
        (recae.EASE(), {"precision": ["flaot32"]}, "'flaot32'.* mean 'float32'"),
        (recae.EASE(), [("l2", (1, 2))], "names .*ranges"),
        (recae.PureSVD(), {"latent": (1.5, 9)}, ">= 1, not 1.5"),
        (recae.MultVAE(), {"mirror": (False, True)}, "no order"),
        (recae.MultVAE(), {"hidden": [600]}, "tuple.*, not 600"),
        (recae.MultVAE(), {"hidden": (0, 9)}, r"tuple.*, not \(0,\)"),
        (recae.MultVAE(), {"milestones": (5, 9)}, "empty.* tuples"),
        (recae.MultVAE(), {"metric": ["ndcg@5"]}, "cannot .*search"),
        (recae.Ensemble(), {"members": ("EASE()", "ALS()")}, "no order"),
    ],
)
def test_mistakes_in_a_space(model: recae.Recommender, given: object, message: str) -> None:
    name = next(iter(given)) if isinstance(given, dict) else "space"
    with pytest.raises(ConfigError, match=message) as caught:
        read_space(model, given)
    assert name in str(caught.value) and name in (caught.value.parameter, caught.value.value)


def test_a_transform_is_searched_only_of_weights_that_are_used() -> None:
    space = {"weight_transform": ["log1p", "bm25"]}
    with pytest.raises(ConfigError, match="weight_transform .*weights='neither'") as error:
        read_space(recae.EASE(), space)
    assert error.value.parameter == "space"
    read_space(recae.EASE(weights="both"), space)
    read_space(recae.EASE(), space | {"weights": ["neither", "both"]})
