"""The check that recae ships for other people's models: all of ours pass, planted faults do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import recae
from recae import EASE, ConfigError
from recae.testing import check_recommender


def test_every_model_passes(make) -> None:
    check_recommender(make())


class Own(EASE):
    name = "own"


class Forgetful(Own):
    def _fit(self, data: Any, validation: Any, run: Any) -> None:
        super()._fit(data, validation, run)
        self.weights_ = self.weights_ * np.float32(np.random.rand())


class OfTheBatch(Own):
    def _score_rows(self, matrix: Any) -> torch.Tensor:
        scores = super()._score_rows(matrix)
        return scores - scores.mean(dim=0)


class NotANumber(Own):
    def _score_rows(self, matrix: Any) -> torch.Tensor:
        return super()._score_rows(matrix) * torch.nan


class Writing(Own):
    def _fit(self, data: Any, validation: Any, run: Any) -> None:
        np.random.rand()
        super()._fit(data, validation, run)


class Unsaved(Own):
    def _arrays(self) -> Any:
        return {name: array * 2 for name, array in super()._arrays().items()}


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Forgetful, "same seed"),
        (OfTheBatch, "batch"),
        (NotANumber, "finite"),
        (Writing, "random states"),
        (Unsaved, "loaded"),
    ],
)
def test_a_fault_is_named_by_its_law(kind, law, monkeypatch) -> None:
    kind = type(kind.__name__, (kind,), {"name": kind.__name__.lower()})
    monkeypatch.setitem(recae.MODELS, kind.name, kind)
    with pytest.raises(AssertionError, match=f"{kind.__name__} .*law '[^']*{law}"):
        check_recommender(kind())


def test_a_model_of_ones_own_passes(monkeypatch) -> None:
    monkeypatch.setitem(recae.MODELS, Own.name, Own)
    model = Own(l2=3.0)
    check_recommender(model)
    assert not hasattr(model, "items_") and model.get_params() == Own(l2=3.0).get_params()


@pytest.mark.parametrize("model", [EASE, "ease", None])
def test_only_an_instance_is_checked(model) -> None:
    with pytest.raises(ConfigError) as raised:
        check_recommender(model)
    assert raised.value.parameter == "model"
