"""Diversity, miscalibration and popularity lift: slow references, and arithmetic written out."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.errors import ConfigError, DataError
from recae.metrics import MetricAccumulator, parse_metric, popularity_groups
from recae.metrics.beyond_accuracy import ItemFacts
from recae.ranking.top_k import TopK

NAN = float("nan")


def measured(names, lists, n_items, *, histories=None, batches=1, **facts):
    items = np.array(lists)
    accumulator = MetricAccumulator(names, n_items, **facts)
    seen = sp.lil_matrix((len(items), n_items))
    for row, history in enumerate(histories or []):
        seen[row, history] = 0.5 + row  # weights do not count
    seen = sp.csr_matrix(seen, dtype=np.float32)
    for rows in np.array_split(np.arange(len(items)), batches):
        target = sp.csr_matrix((len(rows), n_items), dtype=np.float32)
        part = items[rows]
        topk = TopK(part, np.zeros(part.shape, dtype=np.float32))
        accumulator.update(topk, target, None if histories is None else seen[rows])
    return accumulator.per_user()


def test_popularity_lift_by_hand():
    # Training users 8, 4, 2 and none. Profiles: 4; (8 + 2) / 2 = 5; none; nobody's item; 8.
    users = measured(
        "popularity_lift@2",
        [[0, 2], [1, -1], [0, 1], [0, 1], [-1, -1]],
        4,
        histories=[[1], [0, 2], [], [3], [0]],
        item_counts=[8, 4, 2, 0],
    )
    # Lists: (8 + 2) / 2 = 5, a quarter more than 4; 4, a fifth less than 5.
    np.testing.assert_allclose(users["popularity_lift@2"], [1 / 4, -1 / 5, NAN, NAN, NAN])


def test_diversity_by_hand():
    # Directions: east, north, south, north-east, and one item without any.
    vectors = [[2, 0], [0, 3], [0, -1], [5, 5], [0, 0]]
    lists = [[0, 1, 2], [0, 1, -1], [3, 0, 1], [0, 4, 1], [0, 4, -1], [2, -1, -1], [-1, -1, -1]]
    users = measured("diversity@3", lists, 5, item_vectors=vectors)
    half = 1 - math.sqrt(0.5)
    expected = [(1 + 1 + 2) / 3, 1, (half + half + 1) / 3, 1, NAN, NAN, NAN]
    np.testing.assert_allclose(users["diversity@3"], expected, atol=1e-6)
    again = measured("diversity@2", lists, 5, item_vectors=vectors)["diversity@2"]
    np.testing.assert_allclose(again, [1, 1, half, NAN, NAN, NAN, NAN], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_diversity_does_not_depend_on_lengths(scale):
    vectors = np.array([[1, 2], [3, -1], [2, 4]], dtype=np.float32) * np.float32(scale)
    users = measured("diversity@2", [[0, 1], [0, 2]], 3, item_vectors=vectors)
    expected = [1 - (3 - 2) / math.sqrt(5 * 10), 0]
    np.testing.assert_allclose(users["diversity@2"], expected, atol=1e-6)


def test_miscalibration_by_hand():
    # Items 0 and 1 are drama, 2 is comedy, 3 both, 4 neither.
    categories = sp.csr_matrix([[1, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    users = measured(
        "miscalibration@2",
        [[0, 2], [1, 3], [2, -1], [0, 4], [4, -1], [0, 1], [-1, -1]],
        5,
        histories=[[1, 3], [0, 2], [0, 1], [3], [0], [4], [0]],
        item_categories=categories,
    )
    # Shares of drama, then of comedy, in the history and in the list.
    expected = [
        0.75 * math.log(0.75 / (0.99 * 0.5 + 0.0075))
        + 0.25 * math.log(0.25 / (0.99 * 0.5 + 0.0025)),
        0.5 * math.log(0.5 / (0.99 * 0.75 + 0.005)) + 0.5 * math.log(0.5 / (0.99 * 0.25 + 0.005)),
        math.log(1 / 0.01),  # drama only, comedy only
        0.5 * math.log(0.5 / (0.99 + 0.005)) + 0.5 * math.log(0.5 / 0.005),  # item 4 is left out
        NAN,
        NAN,
        NAN,
    ]
    np.testing.assert_allclose(users["miscalibration@2"], expected, rtol=1e-12)


def test_a_list_like_the_history_is_calibrated_without_given_categories():
    # Training users 6, 3, 3, 2, 2, 2: three groups of six interactions each.
    counts = [6, 3, 3, 2, 2, 2]
    assert popularity_groups(np.array(counts), 3).tolist() == [0, 1, 1, 2, 2, 2]
    users = measured(
        "miscalibration@3",
        [[0, 2, 4], [3, 4, 5]],
        6,
        histories=[[0, 1, 3], [0]],
        item_counts=counts,
    )
    np.testing.assert_allclose(users["miscalibration@3"], [0, math.log(100)], atol=1e-12)


N = 6
LISTS = st.lists(st.permutations([0, 1, 2, 3, 4, 5, -1]), min_size=1, max_size=8)


@given(
    lists=LISTS,
    rows=st.lists(st.sets(st.integers(0, N - 1)), min_size=8, max_size=8),
    tags=st.lists(st.sets(st.integers(0, 3)), min_size=N, max_size=N),
    numbers=st.lists(st.integers(-3, 3), min_size=2 * N, max_size=2 * N),
    counts=st.lists(st.integers(0, 5), min_size=N, max_size=N),
)
@settings(max_examples=60, deadline=None)
def test_the_slow_version(lists, rows, tags, numbers, counts):
    vectors = np.array(numbers, dtype=float).reshape(N, 2)
    categories = np.array([[tag in some for tag in range(4)] for some in tags], dtype=float)
    histories = [sorted(history) for history in rows[: len(lists)]]
    users = measured(
        ["diversity@4", "miscalibration@4", "popularity_lift@4"],
        lists,
        N,
        histories=histories,
        batches=min(len(lists), 3),
        item_counts=counts,
        item_vectors=vectors,
        item_categories=sp.csr_matrix(categories),
    )
    for row, history in enumerate(histories):
        shown = [item for item in lists[row][:4] if item >= 0]
        assert users["diversity@4"][row] == pytest.approx(
            slow_diversity(shown, numbers), abs=2e-6, nan_ok=True
        )
        assert users["miscalibration@4"][row] == pytest.approx(
            slow_miscalibration(history, shown, tags), abs=1e-9, nan_ok=True
        )
        profile = [counts[item] for item in history]
        lift = NAN
        if sum(profile):
            before = sum(profile) / len(profile)
            lift = (sum(counts[item] for item in shown) / len(shown) - before) / before
        assert users["popularity_lift@4"][row] == pytest.approx(lift, nan_ok=True)


def slow_diversity(shown, numbers):
    vector = {item: (numbers[2 * item], numbers[2 * item + 1]) for item in shown}
    able = [item for item in shown if vector[item] != (0, 0)]
    apart = [
        1 - sum(x * y for x, y in zip(vector[i], vector[j], strict=True))
        / (math.hypot(*vector[i]) * math.hypot(*vector[j]))
        for i, j in combinations(able, 2)
    ]  # fmt: skip
    return sum(apart) / len(apart) if apart else NAN


def slow_miscalibration(history, shown, tags):
    def shares(items):
        able = [item for item in items if tags[item]]
        return {
            tag: sum((tag in tags[item]) / len(tags[item]) for item in able) / len(able)
            for tag in range(4)
            if able
        }

    p, q = shares(history), shares(shown)
    if not p or not q:
        return NAN
    return sum(p[g] * math.log(p[g] / (0.99 * q[g] + 0.01 * p[g])) for g in p if p[g] > 0)


def test_many_categories_are_taken_in_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    lists = [rng.permutation(30)[:5].tolist() for _ in range(9)]
    histories = [rng.permutation(30)[:4].tolist() for _ in range(9)]
    categories = sp.random(30, 50, density=0.2, format="csr", random_state=1)
    arguments = ("miscalibration@5", lists, 30)
    whole = measured(*arguments, histories=histories, item_categories=categories)
    monkeypatch.setattr("recae.metrics.beyond_accuracy.CELLS", 100)  # two users at a time
    parts = measured(*arguments, histories=histories, item_categories=categories)
    np.testing.assert_array_equal(whole["miscalibration@5"], parts["miscalibration@5"])


def test_what_is_needed_is_named():
    for name, message in [
        ("diversity@3", "diversity@3 .*item_vectors"),
        ("popularity_lift@3", "popularity_lift@3 .*item_counts"),
        ("miscalibration@3", "miscalibration@3 .*item_categories"),
    ]:
        with pytest.raises(ConfigError, match=message):
            MetricAccumulator(["recall@3", name], 4)
        with pytest.raises(ConfigError, match=f"{name} .*MetricAccumulator"):
            parse_metric(name)(TopK(np.zeros((1, 3), int), np.zeros((1, 3))), None)
    accumulator = MetricAccumulator("popularity_lift@1", 4, [1, 1, 1, 1])
    one = TopK(np.array([[0]]), np.zeros((1, 1), dtype=np.float32))
    target = sp.csr_matrix((1, 4))
    with pytest.raises(ConfigError, match="popularity_lift@1 .*history"):
        accumulator.update(one, target)
    with pytest.raises(DataError, match="history .*csr.*ndarray"):
        accumulator.update(one, target, np.ones((1, 4)))
    with pytest.raises(DataError, match=r"history is \(2, 4\); expected \(1, 4\)"):
        accumulator.update(one, target, sp.csr_matrix((2, 4)))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"vectors": np.zeros((3, 2))}, r"item_vectors .*\(4, d\).* \(3, 2\)"),
        ({"vectors": np.zeros(4)}, r"item_vectors .*\(4, d\)"),
        ({"vectors": np.array([["a"]] * 4)}, r"item_vectors .*\(4, d\)"),
        ({"vectors": np.full((4, 1), np.inf)}, "item_vectors .*NaN"),
        ({"categories": np.ones((4, 2))}, "item_categories .*sparse.* 4 rows"),
        ({"categories": sp.csr_matrix((3, 2))}, "item_categories .*sparse.* 4 rows"),
        ({"counts": [1, 2, 3]}, "item_counts must be 4 numbers >= 0"),
    ],
)
def test_facts_that_do_not_fit_are_named(facts, message):
    with pytest.raises(DataError, match=message):
        ItemFacts(4, **facts)
