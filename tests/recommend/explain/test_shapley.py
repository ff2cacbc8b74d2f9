"""Shapley values of models of others: from the definition, and in a sample."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae import Interactions
from recae.estimators.params import estimator
from recae.recommend.explain.shapley import EXACT, SAMPLED

PLAIN = Interactions.from_csr(sp.csr_matrix(np.ones((3, 9), dtype=np.float32)))
TABLE = np.random.default_rng(3).normal(size=(9, 9))


def curved(rows: np.ndarray) -> np.ndarray:
    return np.tanh(rows @ TABLE) + 0.3 * (rows @ np.abs(TABLE)) ** 2


@estimator
class Curved(recae.Recommender):
    """Scores that are no sum over the history."""

    name = "curved-of-a-test"

    def _fit(self, data, validation, run) -> None:
        pass

    def _score_rows(self, matrix):
        return torch.from_numpy(curved(matrix.toarray()).astype(np.float32))

    def _arrays(self):
        return {}

    def _restore(self, arrays) -> None:
        pass


def value(items: tuple[int, ...], item: int) -> float:
    row = np.zeros((1, 9))
    row[0, list(items)] = 1
    return float(curved(row)[0, item])


def test_values_by_the_definition() -> None:
    model, own = Curved().fit(PLAIN), (0, 3, 5, 8)
    why = model.explain([*own], items=[2], top=9)
    assert why.method == EXACT
    found = why.contributions.set_index("history_item_id")["contribution"]
    for item in own:
        others = [i for i in own if i != item]
        total = 0.0
        for size in range(len(own)):
            share = factorial(size) * factorial(len(own) - size - 1) / factorial(len(own))
            for part in combinations(others, size):
                total += share * (value((*part, item), 2) - value(part, 2))
        assert abs(found[item] - total) < 1e-5


def test_a_sample_adds_up_and_is_near() -> None:
    model = Curved().fit(PLAIN)
    own = [0, 1, 3, 4, 5, 6, 8]
    why, again = (model.explain(own, items=[2, 7], top=9) for _ in range(2))
    assert why.method == SAMPLED
    assert why.contributions.equals(again.contributions)
    assert (why.totals["error"].abs() < 1e-4).all()
    for item in (2, 7):
        part = why.contributions[why.contributions["item_id"] == item]
        assert abs(part["contribution"].sum() - value(tuple(own), item) + value((), item)) < 1e-4
