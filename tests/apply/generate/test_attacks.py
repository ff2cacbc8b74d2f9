"""AUC and its interval against scikit-learn and the definition; fits against loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from recae.apply.generate.measures import attack, own_fit


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_interval(ties: bool) -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.5, 1, 60), rng.normal(0, 1, 45)
    if ties:
        members, others = members.round(), others.round()
    found = attack(members, others)
    truth = np.r_[np.ones(60), np.zeros(45)]
    assert found.auc == pytest.approx(roc_auc_score(truth, np.r_[members, others]))
    # DeLong's variance, from every comparison of two users.
    wins = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    variance = wins.mean(1).var(ddof=1) / 60 + wins.mean(0).var(ddof=1) / 45
    assert found.high - found.auc == pytest.approx(1.95996398 * variance**0.5)
    assert (found.members, found.others) == (60, 45)


def test_a_perfect_attack_and_a_blind_one() -> None:
    assert attack(np.array([2.0, 3.0]), np.array([0.0, 1.0])).auc == 1
    assert attack(np.ones(5), np.ones(7)).auc == 0.5


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    truth = 0.6382  # P(N(0.5, 1) > N(0, 1)) = Phi(0.5 / sqrt 2)
    inside = 0
    for _ in range(400):
        found = attack(rng.normal(0.5, 1, 80), rng.normal(0, 1, 60))
        inside += found.low <= truth <= found.high
    assert 365 <= inside <= 395


def test_own_fit_is_the_mean_score_of_the_own_items() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(7, 7)).astype(np.float32)
    rows = (rng.random((5, 7)) < 0.4).astype(np.float32)
    rows[3] = 0
    scores = rows @ weights
    expected = [scores[u][rows[u] > 0].mean() if rows[u].any() else 0 for u in range(5)]
    np.testing.assert_allclose(own_fit(weights, sp.csr_matrix(rows)), expected, rtol=1e-5)


def test_one_of_a_kind_has_no_spread_to_go_by() -> None:
    found = attack(np.array([9.0]), np.arange(8.0))
    assert (found.auc, found.low, found.high) == (1, 0, 1)
