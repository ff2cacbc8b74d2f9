"""Co-rating against the slow, obvious version of its definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recae.apply.anomaly.co_rating import CoRating


def slowly(dense: np.ndarray, rated: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """c_u and the parts of it, by loops over ratings and people."""
    given = dense[dense > 0]
    share = {rating: (given == rating).mean() for rating in np.unique(given)}
    chances, parts = [], []
    for u in range(len(dense)):
        items = np.flatnonzero(dense[u])
        part = np.zeros(len(items))
        for v in range(len(dense)):
            s = np.zeros(len(items))
            for row, i in enumerate(items):
                if v == u or not dense[v, i]:
                    continue
                f = share[dense[u, i]] if rated else 0.0
                agreed = not rated or dense[v, i] == dense[u, i]
                s[row] = (1 if agreed else -f / (1 - f)) / ((dense[:, i] > 0).sum() - 1)
            products = np.array([s[a] * (s.sum() - s[a]) for a in range(len(items))])
            if s.sum() > 0 and products.sum() > 0:
                part += products
        n = len(items) + 4
        chances.append(part.sum() / (n * (n - 1)))
        parts.append(part)
    return np.array(chances), parts


@pytest.mark.parametrize("rated", [True, False])
def test_it_is_its_definition(rated: bool) -> None:
    rng = np.random.default_rng(0)
    dense = rng.integers(1, 4, size=(25, 12)) * (rng.random((25, 12)) < 0.4).astype(float)
    dense[7] = 0  # somebody without ratings
    co_rating = CoRating(sp.csr_matrix(dense.astype(np.float32)), rated)
    chances, parts = slowly(dense, rated)
    np.testing.assert_allclose(co_rating.chances(False), chances, atol=1e-12)
    for user in range(25):
        np.testing.assert_allclose(co_rating.parts(user), parts[user], atol=1e-12)


def test_a_group_meets_itself() -> None:
    """Four people who alone gave 5 to the same six items: from each rating one of three others is
    met, so two ratings lead to the same one with 1/3: c = 6 * 5 / 3 / (10 * 9)."""
    dense = np.zeros((20, 30))
    dense[:4, :6] = 5
    dense[4:, 6:] = np.random.default_rng(0).integers(1, 5, size=(16, 24))
    chances = CoRating(sp.csr_matrix(dense), True).chances(False)
    np.testing.assert_allclose(chances[:4], 6 * 5 / 3 / 90)


def test_chance_agreement_adds_up_to_nothing() -> None:
    """300 people, 40 items, ratings drawn from one distribution: the mean count of a meeting is
    near 0, where the largest count is 40."""
    rng = np.random.default_rng(1)
    dense = rng.choice([1.0, 2, 5], p=[0.1, 0.3, 0.6], size=(300, 40))
    co_rating = CoRating(sp.csr_matrix(dense), True)
    counts = (co_rating.counts @ co_rating.there.T).toarray() * 299
    off = counts[~np.eye(300, dtype=bool)]
    assert abs(off.mean()) < 0.15


def test_ratings_of_many_values_are_cut_into_tenths() -> None:
    values = np.arange(100.0) + 1
    matrix = sp.csr_matrix((values, (np.arange(100), np.zeros(100, int))), shape=(100, 1))
    assert (CoRating(matrix, True).also == 9).all()
