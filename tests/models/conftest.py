"""Every model of the library, small, for the laws that all of them obey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import recae
from recae import Interactions, Recommender

SMALL: dict[str, dict[str, Any]] = {
    "random": {},
    "popularity": {},
    "item-knn": {"neighbours": 15},
    "user-knn": {"neighbours": 20},
    "bpr": {"latent": 5, "epochs": 5},
    "als": {"latent": 5, "epochs": 3, "l2": 0.7, "alpha": 3.5},
    "ease": {"l2": 4.5},
    "edlae": {"l2": 4.5, "dropout": 0.4},
    "rlae": {"l2": 4.5, "xi": 0.2},
    "rdlae": {"l2": 4.5, "dropout": 0.4, "xi": 0.2},
    "sparse-ease": {"l2": 4.5, "neighbours": 15},
    "pure-svd": {"latent": 5},
    "svd-ae": {"latent": 5},
    "infinite-ae": {"l2": 0.7},
    "vanilla-ae": {"latent": 8, "epochs": 2, "batch_size": 10, "lr": 0.01, "hidden": (16,)},
    "sparse-ae": {
        "sparsity": "top-k",
        "latent": 8,
        "active": 3,
        "epochs": 2,
        "batch_size": 10,
        "lr": 0.01,
    },
    "auto-rec": {"latent": 8, "epochs": 2, "batch_size": 10, "lr": 0.01},
    "cdae": {"latent": 8, "epochs": 2, "batch_size": 10, "lr": 0.01, "negatives": 3},
    "mult-dae": {"latent": 8, "epochs": 2, "batch_size": 10, "lr": 0.01, "hidden": (16,)},
    "mult-vae": {"latent": 8, "epochs": 2, "batch_size": 10, "lr": 0.01, "hidden": (16,)},
    "rec-vae": {"latent": 8, "width": 16, "depth": 3, "epochs": 4, "batch_size": 10, "lr": 0.01},
    "h-vamp": {
        "latent": 4,
        "width": 12,
        "components": 6,
        "epochs": 2,
        "batch_size": 10,
        "lr": 0.01,
    },
    "macrid-vae": {"latent": 4, "concepts": 3, "width": 12, "epochs": 2, "batch_size": 10},
    "elsa": {"latent": 6, "epochs": 2, "batch_size": 10},
    "neural-ease": {"epochs": 2, "batch_size": 10, "lr": 0.01},
    "flvae": {"latent": 6, "width": 12, "depth": 2, "decoder_depth": 2, "epochs": 2},
    "vasp": {"latent": 6, "width": 12, "depth": 2, "decoder_depth": 2, "epochs": 2},
    "ensemble": {"members": ("EASE(l2=4.5)", "Popularity()", "ItemKNN(neighbours=5)")},
}
"""A new model gets a line here, and with it every test of the contract."""

NO_SEED = {
    *("popularity", "item-knn", "user-knn"),
    *("ease", "edlae", "rlae", "rdlae"),
    *("sparse-ease", "pure-svd", "svd-ae", "infinite-ae"),
    "ensemble",  # of the members above
}
"""Models in closed form: nothing about them is random."""

SPARING = {"item-knn", "user-knn"}
"""Models that give -inf to what nothing in a history speaks for, and never recommend it."""

Make = Callable[..., Recommender]


@pytest.fixture(scope="session", params=list(recae.MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, Any]]:
    """The small settings of every model by its name."""
    return SMALL


@pytest.fixture(scope="session")
def random(name: str) -> bool:
    """Whether the seed matters to the model."""
    return name not in NO_SEED


@pytest.fixture(scope="session")
def sparing(name: str) -> bool:
    """Whether the model leaves items out of its lists that were not seen."""
    return name in SPARING


@pytest.fixture(scope="session")
def proper(sparing: bool) -> Callable[[np.ndarray], bool]:
    """Whether scores are what the model may give: finite, or -inf from a sparing one."""
    return lambda scores: bool((np.isfinite(scores) | (sparing & np.isneginf(scores))).all())


@pytest.fixture(scope="session")
def make(name: str) -> Make:
    """Makes the model, unfitted, with its small settings and others given."""
    return lambda **params: recae.MODELS[name](**(SMALL[name] | params))


@pytest.fixture(scope="session")
def fitted(make: Make, text_data: Interactions) -> Recommender:
    """The model fitted on text ids; tests do not change it."""
    return make().fit(text_data, seed=1)


@pytest.fixture(scope="session")
def fitted_int(make: Make, int_data: Interactions) -> Recommender:
    """The model fitted on numbers as ids, with weights; tests do not change it."""
    return make().fit(int_data, seed=1)
