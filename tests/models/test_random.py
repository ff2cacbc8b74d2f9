"""Random: uniform, repeatable, and the same for the same history."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy import stats

from recae import Interactions, Random

X = sp.random(400, 50, 0.1, format="csr", random_state=1)
DATA = Interactions.from_csr(X)


def test_every_place_of_a_list_is_as_likely_for_every_item() -> None:
    scores = Random().fit(DATA, seed=5).score(DATA)
    assert stats.kstest(scores.ravel(), "uniform").pvalue > 0.001
    first = np.bincount(scores.argmax(axis=1), minlength=50)
    assert stats.chisquare(first).pvalue > 0.001
    # No item is everybody's favourite: columns do not go together, nor do rows.
    correlations = np.corrcoef(scores.T)[np.triu_indices(50, 1)]
    assert abs(correlations).max() < 0.25 and abs(correlations.mean()) < 0.01


def test_the_seed_and_the_history_decide() -> None:
    one, two = Random().fit(DATA, seed=1), Random().fit(DATA, seed=2)
    assert (one.score(DATA) != two.score(DATA)).mean() > 0.99
    row = DATA.matrix[[3]]
    assert (one.score(row) == one.score(DATA)[3]).all()
    heavier = row * 7
    assert (one.score(heavier) == one.score(row)).all()
    assert (one.score(DATA)[3] != one.score(DATA)[4]).all()
