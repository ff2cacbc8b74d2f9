"""RP3beta against its three steps, written out user by user."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.neighbours import rp3_beta

RNG = np.random.default_rng(3)
X = (RNG.random((40, 14)) < 0.3) * RNG.integers(1, 4, (40, 14)) * 1.0
X[:, 4] = 0  # an item of nobody


@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize(("alpha", "beta", "neighbours"), [(1, 0, 30), (0.6, 0.4, 5), (1.4, 1, 1)])
def test_similarities_are_sums_over_walks(weights, alpha, beta, neighbours, monkeypatch) -> None:
    monkeypatch.setattr(rp3_beta, "CELLS", 14 * 4)  # blocks of four items
    options = dict(alpha=alpha, beta=beta, neighbours=neighbours, weights=weights)
    model = recae.RP3beta(**options).fit(sp.csr_matrix(X))
    x = X if weights == "both" else (X > 0) * 1.0
    walks = np.zeros((14, 14))
    for row in x:
        for i in np.flatnonzero(row):
            for j in np.flatnonzero(row):
                there, on = row[i] / x[:, i].sum(), row[j] / row.sum()
                walks[i, j] += there**alpha * on**alpha / x[:, j].sum() ** beta
    np.fill_diagonal(walks, 0)
    for i, row in enumerate(walks):
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
        found = model.similarity_[i].toarray()[0]
        np.testing.assert_allclose(np.sort(found), np.sort(row), rtol=1e-5)
    scores = model.score(sp.csr_matrix(X))
    expected = x @ model.similarity_.toarray()
    np.testing.assert_allclose(np.where(np.isneginf(scores), 0, scores), expected, rtol=1e-5)
    assert (np.isneginf(scores) == (expected == 0)).all()


def test_the_largest_are_kept() -> None:
    whole = recae.RP3beta(neighbours=20).fit(sp.csr_matrix(X)).similarity_.toarray()
    few = recae.RP3beta(neighbours=3).fit(sp.csr_matrix(X)).similarity_.toarray()
    for row, kept in zip(whole, few, strict=True):
        assert sorted(kept[kept > 0]) == sorted(sorted(row[row > 0])[-3:])
