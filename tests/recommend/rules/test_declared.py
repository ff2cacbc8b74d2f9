"""Rules as objects and as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError, Rules

TABLE = {
    "item_id": [1, 2],
    "genres": ["A|B", "B"],
    "date": ["2024-01-01", "2024-05-01"],
    "n": [1, 2],
}


@pytest.fixture
def table() -> Any:
    return recae.data.ItemTable(pd.DataFrame(TABLE))


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"min_score": float("nan")}, "min_score"),
        ({"min_score": "x"}, "min_score"),
        ({"at_most": 0, "category": "genres"}, "at_most"),
        ({"at_most": True, "category": "genres"}, "at_most"),
        ({"at_most": 1}, "category"),
        ({"at_most": 1, "category": "genres", "table": None}, "table"),
        ({"at_most": 1, "category": "kind"}, "kind"),
        ({"diversity": 1.5}, "diversity"),
        ({"diversity": 0.5, "method": "mrr"}, "method"),
        ({"diversity": 0.5, "method": "calibrated"}, "category"),
        ({"explore": -0.1}, "explore"),
        ({"seed": -1}, "seed"),
        ({"pool": 0}, "pool"),
        ({"half_life": 0}, "half_life"),
        ({"half_life": 5, "date": "day"}, "day"),
        ({"now": "soon"}, "now"),
        ({"now": 5}, "now"),
        ({"boosts": {1: -1}}, "boosts"),
        ({"boosts": [1]}, "boosts"),
        ({"include": {1: 0}}, "include"),
        ({"include": {1: 1, 2: 1}}, "include"),
        ({"separator": ""}, "separator"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, Any], parameter: str, table: Any) -> None:
    with pytest.raises((ConfigError, DataError)) as error:
        Rules(**{"table": table} | options)
    assert error.value.parameter == parameter


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ([], "rules"),
        ({"min_scores": 1}, "min_scores"),
        ({"table": "x.csv"}, "table"),
        ({"include": {"1": 2}}, "include"),
        ({"include": [{"item_id": 1}]}, "include"),
        ({"include": [{"item_id": 1.5, "position": 1}]}, "include"),
        ({"include": [{"item_id": 1, "position": 1}, {"item_id": 1, "position": 2}]}, "include"),
        ({"boosts": [{"item_id": 1, "factor": "2"}]}, "boosts"),
        ({"allow": 5}, "allow"),
        ({"allow": "abc"}, "allow"),
        ({"block": [1, "a"]}, "block"),
        ({"block": [True]}, "block"),
        ({"block": [2**70]}, "block"),
        ({"block": {"7": 3}}, "block"),
    ],
)
def test_json_that_is_no_rules_is_named(given: Any, parameter: str) -> None:
    with pytest.raises(ConfigError) as error:
        Rules.from_json(given)
    assert error.value.parameter == parameter


def test_rules_survive_json(table: Any) -> None:
    given = {
        "allow": [1, 2],
        "block": {"7": [1]},
        "boosts": [{"item_id": 2, "factor": 1.5}],
        "include": [{"item_id": 1, "position": 2}],
        "half_life": 30,
        "now": "2024-06-01",
        "min_score": None,
        "at_most": 1,
        "category": "genres",
        "diversity": 0.25,
    }
    rules = Rules.from_json(given, table)
    again = Rules.from_json(json.loads(json.dumps(rules.to_json())), table)
    for name in ("allow", "block", "boosts", "include", "half_life", "at_most", "diversity"):
        assert getattr(again, name) == getattr(rules, name)
    assert rules.to_json()["now"].startswith("2024-06-01") and "min_score" not in rules.to_json()
    assert rules.boosts == {2: 1.5} and Rules().to_json() == {}


def test_dates_must_be_dates(table: Any) -> None:
    log = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    model = recae.Popularity().fit(recae.Interactions.from_frame(log))
    with pytest.raises(DataError) as error:
        model.recommend(rules=Rules(half_life=3, date="n", table=table))
    assert error.value.parameter == "date"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("now", {1: [2]}),
        ("now", 1e308),
        ("now", float("inf")),
        ("now", 20261129),
        ("category", np.array([1, 2])),
        ("category", 0),
        ("allow", 5),
        ("block", pd.NaT),
        ("min_score", 10**400),
    ],
)
def test_values_that_numpy_and_pandas_choke_on_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as raised:
        Rules(**{field: value})
    assert raised.value.parameter == field


@pytest.mark.parametrize("least", [2**64, -(2**64), 10**30, 1e308, -1e308])
def test_a_minimum_of_any_size_is_compared(least: float) -> None:
    model = recae.Popularity().fit(pd.DataFrame({"user_id": [0, 0, 1], "item_id": [1, 2, 2]}))
    ids, _ = model.recommend_ids([], 2, rules=Rules(min_score=least))
    assert ids == ([2, 1] if least < 0 else [])


@pytest.mark.parametrize("given", [{1: 1}, {1: None}, np.zeros((2, 2)), [1.5], {"a": "bc"}])
def test_what_json_cannot_hold_is_refused(given: object) -> None:
    with pytest.raises(ConfigError) as raised:
        Rules(block=given).to_json()
    assert raised.value.parameter == "block"
