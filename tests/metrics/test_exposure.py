"""Novelty, popularity and gini: a slow reference, and arithmetic written out."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import recae
from recae.errors import ConfigError, DataError
from recae.metrics import MetricAccumulator, parse_metric
from recae.ranking.top_k import TopK

NAMES = ["novelty@3", "popularity@3", "gini@3"]


def measured(lists, counts, names=NAMES, batches=1):
    items = np.array(lists)
    accumulator = MetricAccumulator(names, len(counts), counts)
    for part in np.array_split(items, batches):
        target = sp.csr_matrix((len(part), len(counts)), dtype=np.float32)
        accumulator.update(TopK(part, np.zeros(part.shape, dtype=np.float32)), target)
    return accumulator.per_user(), accumulator.catalogue()


def test_by_hand():
    # 8 training interactions: shares 1/2, 1/4, 1/4 and 0, which are 1, 2 and 2 bits.
    lists = [[0, 1, 2], [0, -1, -1], [3, 0, -1], [3, -1, -1], [-1, -1, -1]]
    users, whole = measured(lists, [4, 2, 2, 0])
    nan = float("nan")
    np.testing.assert_allclose(users["novelty@3"], [5 / 3, 1, 1, nan, nan])
    np.testing.assert_allclose(users["popularity@3"], [8 / 3, 4, 2, 0, nan])
    # Listed 3, 1, 1 and 2 times; ascending 1 1 2 3: (-3 - 1 + 2 + 9) / (4 * 7).
    assert whole["gini@3"] == pytest.approx(7 / 28)


@pytest.mark.parametrize(
    ("lists", "gini"), [([[0], [1], [2], [3]], 0), ([[2]] * 5, 3 / 4), ([[-1]], float("nan"))]
)
def test_gini_at_its_ends(lists, gini):
    _, whole = measured(lists, [1] * 4, ["gini@1"])
    assert whole["gini@1"] == pytest.approx(gini, nan_ok=True)


@given(
    lists=st.lists(st.permutations([0, 1, 2, 3, 4, -1]), min_size=1, max_size=9),
    counts=st.lists(st.integers(0, 9), min_size=5, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_the_slow_version(lists, counts):
    users, whole = measured(lists, counts, batches=min(len(lists), 3))
    shown = [[item for item in row[:3] if item >= 0] for row in lists]
    for row, novelty, popularity in zip(
        shown, users["novelty@3"], users["popularity@3"], strict=True
    ):
        bits = [-math.log2(counts[item] / sum(counts)) for item in row if counts[item]]
        assert novelty == pytest.approx(sum(bits) / len(bits) if bits else math.nan, nan_ok=True)
        assert popularity == pytest.approx(sum(counts[item] for item in row) / len(row))
    times = [sum(row.count(item) for row in shown) for item in range(5)]
    apart = sum(abs(one - other) for one in times for other in times)
    assert whole["gini@3"] == pytest.approx(apart / (2 * 5 * sum(times)))


def test_counts_are_needed_and_fit():
    with pytest.raises(ConfigError, match="novelty@3 needs .* pass item_counts"):
        MetricAccumulator("novelty@3", 4)
    with pytest.raises(ConfigError, match="popularity@3 .*MetricAccumulator"):
        parse_metric("popularity@3")(TopK(np.zeros((1, 3), int), np.zeros((1, 3))), None)
    for bad in ([1, 2], [-1, 0, 0, 0]):
        with pytest.raises(DataError, match="4 numbers >= 0"):
            MetricAccumulator("novelty@3", 4, bad)


def test_items_that_the_model_lacks_have_no_training_users():

    plays = pd.DataFrame({"user_id": [1, 1, 2, 3], "item_id": [7, 8, 7, 7]})
    model = recae.Popularity().fit(recae.Interactions.from_frame(plays))
    table = pd.DataFrame({"user_id": [5, 5, 6], "item_id": [5, 8, 8]})
    target = recae.Interactions.from_frame(table).with_items(recae.data.IdMap([5, 8, 7]))[0]
    history = target.keep(np.zeros(target.nnz, dtype=bool))
    report = recae.evaluate(
        model, recae.Fold(history, target), ["novelty@1", "popularity@1", "gini@1"]
    )
    # Everybody is shown item 7, of 3 of 4 interactions; it is one of three items.
    assert report["popularity@1"] == 3 and report["novelty@1"] == pytest.approx(-math.log2(3 / 4))
    assert report["gini@1"] == pytest.approx(2 / 3)
