"""Lists found in a coarse copy of the factors are those of all scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.nn.products import FactoredScores
from recae.ranking import coarse
from recae.ranking.coarse import Coarse, integer_products

pytestmark = pytest.mark.skipif(
    not integer_products(), reason="torch multiplies no integers on this machine"
)
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices of any size get a copy."""
    monkeypatch.setattr(coarse, "LEAST", 1)


def exact(row: Any, columns: Any, bias: Any = None) -> np.ndarray:
    """The scores in float64."""
    found = columns.double() @ row.double()
    return (found if bias is None else found + bias.double()).numpy()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([1, 3, 64, 257]),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e15]),
    skew=st.sampled_from([0.0, 1.0, 4.0]),
    biased=st.booleans(),
    k=st.integers(1, 30),
)
def test_the_best_are_among_the_candidates(
    seed: int, width: int, scale: float, skew: float, biased: bool, k: int
) -> None:
    rng = np.random.default_rng(seed)
    # With skew some factors, items and users are much larger than others.
    spread = np.exp(skew * rng.normal(size=width)), np.exp(skew * rng.normal(size=(3000, 1)))
    columns = torch.from_numpy(rng.normal(size=(3000, width)) * spread[0] * spread[1] * scale)
    columns, row = columns.float(), torch.from_numpy(rng.normal(size=width)).float()
    bias = torch.from_numpy(rng.normal(size=3000)).float() * scale if biased else None
    hidden = rng.choice(3000, 40, replace=False)
    copy = Coarse.of(columns)
    if copy is None:  # on some processors torch's product of one factor is wrong
        assert width == 1
        return
    found = copy.candidates(row, None if bias is None else bias.numpy(), k, hidden)
    if found is None:
        return
    scores = exact(row, columns, bias)
    scores[hidden] = -np.inf
    assert {*np.argsort(-scores, kind="stable")[:k].tolist()} <= {*found.tolist()}


def test_the_list_is_that_of_all_scores_with_equal_scores_in_the_order_of_columns() -> None:
    rng = np.random.default_rng(0)
    columns = torch.from_numpy(rng.normal(size=(4000, 32))).float()
    columns[1000:1020] = columns[7]  # equal scores
    row = columns[7].clone()
    copy = Coarse.of(columns)
    assert copy is not None
    hidden = np.array([1003, 1001])
    found = copy.best(FactoredScores(row[None], columns), 12, hidden)
    assert found is not None
    twins = [7, 1000, 1002, *range(1004, 1013)]
    assert found[0].tolist() == twins
    np.testing.assert_allclose(found[1], exact(row, columns)[twins], rtol=1e-5)


def test_few_of_many_columns_are_candidates() -> None:
    rng = np.random.default_rng(0)
    columns = torch.from_numpy(rng.normal(size=(20_000, 64))).float()
    copy = Coarse.of(columns)
    assert copy is not None
    found = copy.candidates(torch.from_numpy(rng.normal(size=64)).float(), None, 10, NONE)
    assert found is not None
    assert 10 <= len(found) < 200


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_rows_that_say_nothing_are_left_to_all_scores(value: float) -> None:
    copy = Coarse.of(torch.ones(3000, 4))
    assert copy is not None
    assert copy.candidates(torch.full((4,), value), None, 3, NONE) is None
    assert copy.candidates(torch.ones(4), None, 3, NONE) is None  # all are equal: too many


def test_scores_that_are_no_numbers_are_left_to_all_scores() -> None:
    columns = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 4))).float()
    copy = Coarse.of(columns)
    assert copy is not None
    for value in (np.nan, np.inf):
        bias = np.zeros(3000, dtype=np.float32)
        bias[5] = value
        assert copy.candidates(torch.ones(4), bias, 3, NONE) is None
    columns[3, 1] = np.nan
    assert Coarse.of(columns) is None


def test_items_without_factors_have_the_score_zero() -> None:
    columns = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 4))).float()
    columns[100:] = 0
    columns[200] = torch.tensor([1.0, 1, 1, 1])
    copy = Coarse.of(columns)
    assert copy is not None
    found = copy.candidates(-torch.ones(4), None, 2, NONE)
    assert found is None or 200 not in found.tolist()


def test_other_numbers_get_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Coarse.of(torch.ones(3000, 4, dtype=torch.float64)) is None
    monkeypatch.setattr(coarse, "LEAST", 12_001)
    assert Coarse.of(torch.ones(3000, 4)) is None
