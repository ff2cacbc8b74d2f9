"""The four kinds, small, and data planted for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recae

KINDS: dict[str, tuple[type, dict[str, Any]]] = {
    "autoencoder": (recae.Autoencoder, {}),
    "linear": (recae.Autoencoder, {"hidden": ()}),
    "top-k": (recae.SparseAutoencoder, {"latent": 12, "active": 3}),
    "signed-top-k": (
        recae.SparseAutoencoder,
        {"latent": 12, "active": 3, "sparsity": "signed-top-k"},
    ),
    "batch-top-k": (
        recae.SparseAutoencoder,
        {"latent": 12, "active": 3, "sparsity": "batch-top-k"},
    ),
    "jump-relu": (recae.SparseAutoencoder, {"latent": 12, "active": 3, "sparsity": "jump-relu"}),
    "l1": (recae.SparseAutoencoder, {"latent": 12, "sparsity": "l1", "hidden": (6,)}),
    "kl": (recae.SparseAutoencoder, {"latent": 12, "sparsity": "kl"}),
    "denoising": (recae.DenoisingAutoencoder, {}),
    "gaussian noise": (recae.DenoisingAutoencoder, {"noise": "gaussian"}),
    "variational": (recae.VariationalAutoencoder, {}),
    "mixture": (recae.VariationalAutoencoder, {"prior": "mixture", "components": 3}),
    "vamp": (recae.VariationalAutoencoder, {"prior": "vamp", "components": 3}),
}
"""Every kind, and every way through its network."""


def small(kind: str, **changes: Any) -> Any:
    """An unfitted model of a kind that trains in a moment."""
    made, settings = KINDS[kind]
    usual: dict[str, Any] = {"latent": 3, "epochs": 3, "batch_size": 16}
    if made is not recae.SparseAutoencoder and "hidden" not in settings:
        usual["hidden"] = (8,)
    return made(**(usual | settings | changes))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def X() -> np.ndarray:
    """70 rows near a plane in 9 dimensions, of unlike means; more than one tile."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(70, 3)) @ rng.normal(size=(3, 9))
    return plane + 0.1 * rng.normal(size=(70, 9)) + np.arange(9)


@pytest.fixture(scope="session")
def counts() -> Any:
    """40 rows of counts over 9 columns, CSR, of which row 4 is empty."""
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    dense = rng.poisson(rng.uniform(0.1, 1.5, size=9), size=(40, 9)).astype(np.float32)
    dense[4] = 0
    return sp.csr_matrix(dense)
