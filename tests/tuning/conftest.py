"""Models whose best setting is planted, and a clock that only they move."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.errors import ConfigError, TrainingError, warn
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender
from recae.training import Epoch, Run

BEST = 0.7
N = 12


class Clock:
    """Seconds that pass when a model says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@estimator
class Flat(recae.Recommender):
    """Its one target is at rank 1 + round(10 |quality - 0.7|); it fails and warns where planted."""

    name = "flat"
    quality: float = param("what decides", default=0.2, low=0, high=1, usual=(0, 1))
    width: int = param("what does not", default=3, low=1, usual=(1, 4))
    kind: str = param("neither", default="a", choices=("a", "b", "c"))
    cost: float = param("seconds", default=1.0, low=0)
    breaks: float = param("it fails above this quality", default=1.0, low=0)
    warns: float = param("it warns above this quality", default=1.0, low=0)

    def _fit(self, data: Any, validation: Any, run: Run) -> None:
        CLOCK.now += self.cost
        if self.quality > self.breaks:
            raise (TrainingError if self.width % 2 else ConfigError)(f"width {self.width} is out")
        if self.quality > self.warns:
            warn(f"the training of Flat has diverged at {self.quality}")
        self.drawn_ = torch.from_numpy(np.random.default_rng(run.seed).random(3))

    def _score_rows(self, matrix: Any) -> torch.Tensor:
        scores = torch.zeros(matrix.shape)
        scores[:, : N - 1] = torch.arange(N - 1, 0, -1.0)
        scores[:, N - 1] = N + 0.5 - rank(self.quality)
        return scores

    def _arrays(self) -> Mapping[str, torch.Tensor]:
        return {"drawn": self.drawn_}

    def _restore(self, arrays: Mapping[str, torch.Tensor]) -> None:
        self.drawn_ = arrays["drawn"]


@estimator
class Curve(NeuralRecommender):
    """After n epochs its metric is quality x (1 - 2^-n); an epoch takes a second."""

    name = "curve"
    epochs: int = param("passes", default=30, low=1)
    quality: float = param("what it nears", default=0.5, low=0, high=1, usual=(0, 1))
    anneal: float = param("share of the epochs", default=0.5, low=0, high=1)
    beta: float = param("weight", default=0.2, low=0)
    breaks: float = param("it fails above this quality", default=1.0, low=0)

    def _network(self, n_items: int, n_users: int) -> Any: ...

    def _objective(self, updates: int) -> Any: ...

    def _fit(self, data: Any, validation: Any, run: Run) -> None:
        self.epochs_ = []
        for number in range(1, self.epochs + 1):
            CLOCK.now += 1
            if self.quality > self.breaks and number > 10:
                raise TrainingError("the loss became nan")
            value = self.quality * (1 - 0.5**number)
            measured = {self.metric: value} if validation is not None else {}
            self.epochs_.append(Epoch(number, 0.0, 1.0, measured))
            if any([callback(self.epochs_[-1]) for callback in run.callbacks]):
                break

    def _score_rows(self, matrix: Any) -> torch.Tensor:
        return torch.zeros(matrix.shape)

    def _arrays(self) -> Mapping[str, torch.Tensor]:
        return {"last": torch.tensor([len(self.epochs_)])}

    def _restore(self, arrays: Mapping[str, torch.Tensor]) -> None:
        self.epochs_ = []


def rank(quality: float) -> int:
    return 1 + round(10 * abs(quality - BEST))


class Planted:
    """What the tests of tuning share."""

    Flat, Curve, clock = Flat, Curve, CLOCK

    def __init__(self) -> None:
        self.train = recae.Interactions.from_csr(sp.csr_matrix(np.ones((3, N))))
        target = sp.csr_matrix(([1.0], ([0], [N - 1])), shape=(1, N))
        history = sp.csr_matrix((1, N))
        self.fold = recae.Fold(
            *(recae.Interactions.from_csr(matrix) for matrix in (history, target))
        )

    def tune(self, model: recae.Recommender, **options: Any) -> recae.tuning.Tuning:
        return recae.tune(model, self.train, self.fold, "ndcg@100", **options)

    @staticmethod
    def value(quality: float) -> float:
        """NDCG with one target: 1 / log2(1 + rank)."""
        return float(1 / np.log2(1 + rank(quality)))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.setattr(import_module("recae.tuning.attempt"), "clock", CLOCK)
    return Planted()


@pytest.fixture(scope="session")
def movies() -> recae.data.splits.Split:
    data = recae.load_dataset("ml-latest-small").interactions.filter(min_per_item=30)
    return recae.StrongGeneralization(held_out=0.3).split(data)
