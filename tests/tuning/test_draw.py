"""Usual ranges: declared within the valid bounds, told to the user, drawn from."""

from __future__ import annotations

import math
import typing
from typing import Any

import numpy as np
import pytest

import recae
from evaluation.robustness.random_settings import draw
from recae import ConfigError
from recae.estimators.params import Estimator, complaint, estimator, param

DRAWS = 4000


@estimator
class Planted(Estimator):
    """Has a hyperparameter of every kind."""

    ridge: float = param("by factors", default=5.0, above=0, usual=(0.01, 100))
    narrow: float = param("less than a factor of ten", default=1.0, low=0, usual=(1, 9))
    share: float = param("from zero on", default=0.5, low=0, high=1, usual=(0, 0.8))
    width: int = param("by factors", default=100, low=1, usual=(10, 1000))
    depth: int = param("a few", default=2, low=1, usual=(1, 4))
    hidden: tuple[int, ...] = param("widths", default=(7,), low=1, usual=(16, 256))
    layers: tuple[int, ...] = param("widths without a range", default=(7,), low=1)
    mirror: bool = param("yes or no", default=True)
    mode: str = param("how", default="slow", choices=("slow", "fast", "never"))
    device: str = param("some", default="a", choices=("a", "b", "c"), usual=("a", "c"))
    epochs: int = param("no range", default=100, low=1)
    label: str = param("any text", default="x")


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Any]]:
    generator = np.random.default_rng(0)
    settings = [draw(Planted, generator) for _ in range(DRAWS)]
    return {name: [some[name] for some in settings] for name in settings[0]}


def test_what_has_no_range_is_left_out(drawn) -> None:
    assert {*Planted.param_fields()} - {*drawn} == {"layers", "epochs", "label"}


def test_values_have_their_declared_types(drawn) -> None:
    kinds = {"width": int, "depth": int, "hidden": tuple, "mirror": bool, "mode": str}
    for name, values in drawn.items():
        assert {type(value) for value in values} == {
            kinds.get(name, str if name == "device" else float)
        }
    assert {type(width) for widths in drawn["hidden"] for width in widths} == {int}


def test_draws_stay_within_their_ranges_and_are_valid(drawn) -> None:
    for name, (low, high) in {
        "ridge": (0.01, 100),
        "narrow": (1, 9),
        "share": (0, 0.8),
        "width": (10, 1000),
        "depth": (1, 4),
    }.items():
        assert low <= min(drawn[name]) and max(drawn[name]) <= high
    assert {width for widths in drawn["hidden"] for width in widths} <= {*range(16, 257)}
    for row in range(100):
        Planted(**{name: values[row] for name, values in drawn.items()}).check_params()


@pytest.mark.parametrize(
    ("name", "middle"),
    # Half of the draws lie below sqrt(low x high) on a scale of factors, below the mean else.
    [("ridge", 1.0), ("width", 100.0), ("narrow", 5.0), ("share", 0.4), ("depth", 2.5)],
)
def test_the_scale_is_that_of_the_range(drawn, name: str, middle: float) -> None:
    below = sum(value < middle for value in drawn[name])
    assert abs(below - DRAWS / 2) < 5 * math.sqrt(DRAWS / 4)  # five standard deviations


def test_whole_numbers_and_choices_are_alike(drawn) -> None:
    for name, values in {
        "depth": {1, 2, 3, 4},
        "mirror": {True, False},
        "mode": {"slow", "fast", "never"},
        "device": {"a", "c"},
    }.items():
        counts = {value: drawn[name].count(value) for value in values}
        assert sum(counts.values()) == DRAWS
        share = 1 / len(values)
        spread = math.sqrt(DRAWS * share * (1 - share))
        assert all(abs(count - DRAWS * share) < 5 * spread for count in counts.values())


def test_a_tuple_has_as_many_members_as_its_default_or_one_more(drawn) -> None:
    assert {len(widths) for widths in drawn["hidden"]} == {1, 2}


def test_what_is_printed_is_the_number(drawn) -> None:
    assert all(value == float(f"{value:.3g}") for value in drawn["ridge"] + drawn["share"])


def test_equal_generators_give_equal_settings() -> None:
    def some(seed: int) -> list[dict[str, Any]]:
        generator = np.random.default_rng(seed)
        return [draw(Planted, generator) for _ in range(5)]

    assert some(3) == some(3) != some(4)


def test_bounds_of_more_digits_hold() -> None:
    @estimator
    class Fine(Estimator):
        """One narrow range."""

        x: float = param("x", default=1.0, usual=(1.00049, 1.0005))

    assert 1.00049 <= draw(Fine, np.random.default_rng(0))["x"] <= 1.0005


@pytest.mark.parametrize(
    ("options", "usual"),
    [
        ({"above": 0}, (0, 5)),
        ({"low": 1}, (0.5, 5)),
        ({"high": 1}, (0.5, 1.5)),
        ({}, (5, 5)),
        ({}, (6, 5)),
        ({}, (1, math.inf)),
        ({}, (1, 2, 3)),
        ({}, ("a", "b")),
        ({"choices": ("a", "b")}, ("a", "c")),
        ({"choices": ("a", "b")}, ()),
    ],
)
def test_a_range_that_cannot_be_is_refused_where_it_is_declared(options: Any, usual: Any) -> None:
    with pytest.raises(ConfigError, match="usual .* of 'the meaning' must be"):
        param("the meaning", default=1, **options, usual=usual)


def test_the_docstring_tells_the_range() -> None:
    text = Planted.__doc__ or ""
    assert "    ridge (default 5.0, usually 0.01 to 100): by factors" in text
    assert "    device (default 'a', usually a or c): some" in text
    assert "    epochs (default 100): no range" in text


@pytest.mark.parametrize("name", list(recae.MODELS))
def test_the_ranges_of_the_models_are_valid_and_hold_the_default(name: str) -> None:
    model = recae.MODELS[name]
    hints = typing.get_type_hints(model)
    for key, declared in model.param_fields().items():
        about, default = declared.metadata, declared.default
        if about["usual"] is None or about["choices"] is not None:
            continue
        low, high = about["usual"]
        tuples = isinstance(default, tuple)
        for bound in (low, high):
            assert complaint((bound,) if tuples else bound, hints[key], about) is None, key
        # 0 switches something off, and no range of factors reaches it.
        for value in default if tuples else (default,):
            assert low <= value <= high or value == 0, key
