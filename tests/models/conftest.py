"""Every model of the library, small, for the laws that all of them obey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import recae
from recae import Interactions, Recommender

Make = Callable[..., Recommender]


@pytest.fixture(scope="session", params=list(recae.MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, Any]]:
    """The small settings of every model by its name."""
    return {name: model.small for name, model in recae.MODELS.items()}


@pytest.fixture(scope="session")
def random(name: str) -> bool:
    """Whether the seed matters to the model."""
    return recae.MODELS[name].uses_seed


@pytest.fixture(scope="session")
def sparing(name: str) -> bool:
    """Whether the model leaves items out of its lists that were not seen."""
    return not recae.MODELS[name].scores_every_item


@pytest.fixture(scope="session")
def proper(sparing: bool) -> Callable[[np.ndarray], bool]:
    """Whether scores are what the model may give: finite, or -inf from a sparing one."""
    return lambda scores: bool((np.isfinite(scores) | (sparing & np.isneginf(scores))).all())


@pytest.fixture(scope="session")
def make(name: str) -> Make:
    """Makes the model, unfitted, with its small settings and others given."""
    return lambda **params: recae.MODELS[name](**(recae.MODELS[name].small | params))


@pytest.fixture(scope="session")
def fitted(make: Make, text_data: Interactions) -> Recommender:
    """The model fitted on text ids; tests do not change it."""
    return make().fit(text_data, seed=1)


@pytest.fixture(scope="session")
def fitted_int(make: Make, int_data: Interactions) -> Recommender:
    """The model fitted on numbers as ids, with weights; tests do not change it."""
    return make().fit(int_data, seed=1)
