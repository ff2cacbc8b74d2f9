"""A small run of `python -m evaluation random_settings`: settings drawn from the usual ranges."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import recae
from evaluation.robustness.random_settings import attempt, chance_of, drawn
from recae import Interactions
from recae.data.splits import Split
from recae.models import EASE


@pytest.fixture(scope="module")
def split(int_data: Interactions) -> Split:
    protocol = recae.StrongGeneralization(held_out=6, min_target=2, fold_in=0.6)
    return protocol.split(int_data, seed=0)


@pytest.fixture(scope="module")
def chance(split: Split) -> float:
    return chance_of(split)


@pytest.mark.parametrize("number", range(2))
def test_random_settings_train_or_are_refused(name, split, chance, number) -> None:
    model = drawn(name, np.random.default_rng([number, *name.encode()]))
    model.check_params()
    outcome = attempt(model, split, chance, seed=number)
    assert outcome.kind in ("trained", "warned", "refused"), outcome
    assert (outcome.kind == "trained") == (outcome.why == "")


class Broken(EASE):
    """EASE whose scores are spoilt."""

    spoil = staticmethod(lambda scores: scores)

    def _score_rows(self, matrix):
        return self.spoil(super()._score_rows(matrix))


def warned(scores):
    """The scores, after a warning that is not recae's own."""
    np.float64(1) / np.zeros(1)
    return scores


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda scores: scores * torch.nan, "DataError: "),  # after the fit it is no refusal
        (lambda scores: scores - torch.inf, "not finite"),
        (lambda scores: scores * 0, "same score"),
        (lambda scores: scores, "Random is 3"),
        (warned, "RuntimeWarning: divide"),
    ],
)
def test_what_is_broken_is_found(split, monkeypatch, spoil, why) -> None:
    monkeypatch.setattr(Broken, "spoil", staticmethod(spoil))
    outcome = attempt(Broken(), split, chance=3.0)  # which no list reaches
    assert outcome.kind == "failed" and why in outcome.why


def test_what_recae_refuses_is_reported(split, chance) -> None:
    outcome = attempt(EASE(l2=-1.0), split, chance)
    assert outcome.kind == "refused" and re.search("l2 .*EASE .*> 0", outcome.why)
