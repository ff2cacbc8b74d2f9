"""TurboCF against its equation, written out with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.neighbours import turbo_cf

RNG = np.random.default_rng(2)
X = (RNG.random((40, 15)) < 0.2) * RNG.integers(1, 4, (40, 15)).astype(float)
X[3], X[:, 4] = 0, 0  # a user without items, and an item without users


@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize("balance, power", [(0.6, 0.7), (0.5, 1.0), (0.0, 2.0), (1.0, 0.0)])
def test_similarities_are_powers_of_products(
    balance: float, power: float, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbo_cf, "CELLS", 30)  # many blocks
    x = X if weights == "both" else (X > 0) * 1.0
    z = x * x.sum(1).clip(1)[:, None] ** -balance * x.sum(0).clip(1) ** (balance - 1)
    products = z.T @ z
    expected = np.where(products > 0, products, 1) ** power * (products > 0)
    model = recae.TurboCF(balance=balance, power=power, weights=weights).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-5)
    found = model.score(sp.csr_matrix(X))
    wanted = x @ expected
    np.testing.assert_allclose(np.where(wanted > 0, found, 0), wanted, rtol=1e-5)
    assert (found[wanted == 0] == -np.inf).all()
