"""The best of one row, against a slow sort."""

import numpy as np
import pytest

from recae.errors import DataError
from recae.ranking.one_row import best_of_row


@pytest.mark.parametrize("n", [0, 1, 5, 127, 128, 1000, 5003])
@pytest.mark.parametrize("k", [1, 3, 10, 200])
@pytest.mark.parametrize("different", [1, 3, 10**9])
def test_the_order_is_by_score_and_then_by_column(n, k, different):
    rng = np.random.default_rng(n + k)
    scores = rng.integers(-different, different, n, endpoint=True).astype(np.float32)
    scores[rng.random(n) < 0.3] = -np.inf
    scores[rng.random(n) < 0.1] = -0.0
    columns = sorted((c for c in range(n) if scores[c] > -np.inf), key=lambda c: (-scores[c], c))
    found, values = best_of_row(scores, k)
    assert found.tolist() == columns[:k]
    assert values.tolist() == scores[columns[:k]].tolist()


def test_nothing_is_left():
    assert best_of_row(np.full(1000, -np.inf, dtype=np.float32), 3)[0].tolist() == []


@pytest.mark.parametrize("n", [3, 1003])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_what_is_no_score_is_refused(n, bad, place):
    scores = np.zeros(n, dtype=np.float32)
    scores[place] = bad
    with pytest.raises(DataError):
        best_of_row(scores, 2)
