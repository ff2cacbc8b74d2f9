"""Metrics against arithmetic written out, against trec_eval, and their laws."""

import math

import numpy as np
import pytest
import pytrec_eval
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from recae.errors import ConfigError, DataError
from recae.metrics import MetricAccumulator, parse_metric, parse_metrics
from recae.ranking.top_k import TopK, top_k

NAMES = ["ndcg", "recall", "calibrated_recall", "precision", "hit_rate", "mrr", "map"]
TREC_EVAL = {  # calibrated recall is not in trec_eval
    "ndcg": "ndcg_cut.{k}",
    "recall": "recall.{k}",
    "precision": "P.{k}",
    "hit_rate": "success.{k}",
    "mrr": "recip_rank",
    "map": "map_cut.{k}",
}


def lists(items):
    table = np.array(items, dtype=np.int32)
    return TopK(table, np.zeros(table.shape, dtype=np.float32))


def targets(sets, n_items):
    rows = [row for row, items in enumerate(sets) for _ in items]
    columns = [column for items in sets for column in items]
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(sets), n_items))


def values_of(metric, items, sets, n_items=10):
    return parse_metric(metric)(lists(items), targets(sets, n_items)).tolist()


# Hits at ranks 2 and 5, and one of the three targets is never listed.
LISTED, WANTED = [[3, 1, 4, 0, 2]], [{1, 2, 9}]


@pytest.mark.parametrize(
    "metric, value",
    [
        ("ndcg@5", (1 / math.log2(3) + 1 / math.log2(6)) / (1 + 1 / math.log2(3) + 1 / 2)),
        ("ndcg@2", (1 / math.log2(3)) / (1 + 1 / math.log2(3))),
        ("ndcg@1", 0.0),
        ("recall@5", 2 / 3),
        ("recall@2", 1 / 3),
        ("calibrated_recall@5", 2 / 3),
        ("calibrated_recall@2", 1 / 2),
        ("precision@5", 2 / 5),
        ("precision@2", 1 / 2),
        ("hit_rate@5", 1.0),
        ("hit_rate@1", 0.0),
        ("mrr@5", 1 / 2),
        ("mrr@1", 0.0),
        ("map@5", (1 / 2 + 2 / 5) / 3),
        ("map@2", (1 / 2) / 3),
    ],
)
def test_arithmetic_written_out(metric, value) -> None:
    assert values_of(metric, LISTED, WANTED) == [pytest.approx(value, rel=1e-14)]


@pytest.mark.parametrize(
    "metric, value",
    [
        ("ndcg@4", (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))),
        ("recall@4", 1.0),
        ("precision@4", 2 / 4),
        ("calibrated_recall@4", 1.0),
        ("mrr@4", 1.0),
        ("map@4", (1 / 1 + 2 / 3) / 2),
    ],
)
@pytest.mark.parametrize("ranking", [[7, -1, 8, -1], [7, 7, 8, 8]])
def test_gaps_and_repeated_items_are_misses(metric, value, ranking) -> None:
    assert values_of(metric, [ranking], [{7, 8}]) == [pytest.approx(value, rel=1e-14)]


@pytest.mark.parametrize("name", NAMES)
def test_empty_targets_are_undefined_and_empty_lists_are_zero(name) -> None:
    # The list of row 1 is empty; -1 must not be taken for the last item of the row before it.
    values = values_of(f"{name}@2", [[0, 1], [-1, -1], [-1, 9]], [set(), {3}, {9}])
    assert math.isnan(values[0]) and values[1] == 0.0 and values[2] > 0
    assert values_of(f"{name}@2", [[9, 8], [-1, -1]], [{9}, {0}])[1] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_list_scores_one(name) -> None:
    assert values_of(f"{name}@3", [[2, 0, 1]], [{0, 1, 2}]) == [1.0]


def test_ties_against_arithmetic() -> None:
    # Equal scores come in the order of their columns: 1 4 | 0 2 3 5, so item 3 is at rank 5.
    top = top_k(torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]), 6)
    target = targets([{4, 3}], 6)
    assert parse_metric("mrr@6")(top, target).tolist() == [1 / 2]
    assert parse_metric("recall@4")(top, target).tolist() == [1 / 2]
    assert parse_metric("recall@5")(top, target).tolist() == [1.0]
    expected = (1 / math.log2(3) + 1 / math.log2(6)) / (1 + 1 / math.log2(3))
    assert parse_metric("ndcg@6")(top, target).tolist() == [pytest.approx(expected, rel=1e-14)]


@st.composite
def rankings(draw):
    """Short lists of distinct items and targets, some empty: (items, sets, n_items, k)."""
    rows, n_items, k = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 12))
    some = st.lists(st.integers(0, n_items - 1), unique=True)
    items = [draw(some)[:k] for _ in range(rows)]
    padded = [line + [-1] * (k - len(line)) for line in items]
    return padded, [set(draw(some)) for _ in range(rows)], n_items, k


@given(rankings())
def test_trec_eval_agrees(case) -> None:
    items, sets, n_items, k = case
    measures = {name: measure.format(k=k) for name, measure in TREC_EVAL.items()}
    judged = {str(row): {str(item): 1 for item in line} for row, line in enumerate(sets)}
    ranked = {
        str(row): {str(item): float(-rank) for rank, item in enumerate(line) if item >= 0}
        for row, line in enumerate(items)
    }
    oracle = pytrec_eval.RelevanceEvaluator(judged, set(measures.values())).evaluate(ranked)
    for name, measure in measures.items():
        key = measure.replace(".", "_")
        expected = [oracle[str(row)][key] if line else math.nan for row, line in enumerate(sets)]
        found = values_of(f"{name}@{k}", items, sets, n_items)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@given(rankings(), st.randoms(use_true_random=False))
def test_accumulating_equals_each_metric_alone_row_by_row(case, random) -> None:
    items, sets, n_items, k = case
    metrics = [f"{name}@{cut}" for name in NAMES for cut in {1, (k + 1) // 2, k}]
    order = random.sample(range(len(sets)), len(sets))
    accumulator = MetricAccumulator(metrics, n_items)
    assert accumulator.max_k == k
    for row in order:
        accumulator.update(lists([items[row]]), targets([sets[row]], n_items))
    together = accumulator.per_user()
    assert list(together) == list(dict.fromkeys(metrics))
    assert accumulator.catalogue() == {}
    for metric, values in together.items():
        alone = np.array(values_of(metric, items, sets, n_items))
        np.testing.assert_array_equal(values, alone[order])
        assert values.dtype == np.float64


def test_coverage_counted_by_hand() -> None:
    accumulator = MetricAccumulator(["coverage@1", "coverage@3", "recall@2"], 8)
    assert accumulator.catalogue() == {"coverage@1": 0.0, "coverage@3": 0.0}
    assert accumulator.per_user()["recall@2"].shape == (0,)
    accumulator.update(lists([[0, 1, -1], [0, 2, 1]]), targets([{5}, set()], 8))
    accumulator.update(lists([[4, 0, 7]]), targets([{5}], 8))
    assert accumulator.catalogue() == {"coverage@1": 2 / 8, "coverage@3": 5 / 8}
    assert list(accumulator.per_user()) == ["recall@2"]
    with pytest.raises(ConfigError, match="coverage@1 .*MetricAccumulator"):
        parse_metric("coverage@1")(lists([[0]]), targets([{0}], 8))


def test_targets_need_not_be_tidy_and_stay_as_they_are() -> None:
    # Unsorted, with item 1 stored twice and a stored zero: the targets are items 1 and 3.
    data, columns = np.array([1.0, 2.0, 0.0, 1.0]), np.array([3, 1, 0, 1])
    target = sp.csr_matrix((data, columns, np.array([0, 4])), shape=(1, 4))
    assert parse_metric("recall@2")(lists([[1, 0]]), target).tolist() == [1 / 2]
    assert target.nnz == 4 and target.indices.tolist() == [3, 1, 0, 1]


def test_keys_do_not_overflow() -> None:
    # The last cell is number 4 * 10^9 - 1, beyond 32 bits; wrapped, it would come before the first.
    n_items = 1_000_000_000
    target = sp.csr_array(([1.0, 1.0], ([1, 3], [n_items - 1] * 2)), shape=(4, n_items))
    values = parse_metric("mrr@1")(lists([[n_items - 1]] * 4), target)
    np.testing.assert_array_equal(values, [math.nan, 1.0, math.nan, 1.0])


def test_parsing_and_printing() -> None:
    metric = parse_metric("calibrated_recall@20")
    assert (metric.name, metric.k, str(metric)) == ("calibrated_recall", 20, "calibrated_recall@20")
    assert metric.per_user and not parse_metric("coverage@5").per_user
    assert parse_metrics(["mrr@2", metric, "mrr@2"]) == [parse_metric("mrr@2"), metric]
    assert parse_metrics("mrr@2") == [parse_metric("mrr@2")]
    with pytest.raises(ConfigError, match="no metric.*ndcg@100"):
        parse_metrics([])


@pytest.mark.parametrize(
    "text",
    ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@x", "ndcg@1.5", "ndcg@٣", "@5", "", 5, None],
)
def test_bad_metrics_show_an_example(text) -> None:
    with pytest.raises(ConfigError, match='as "ndcg@100"'):
        parse_metric(text)


def test_unknown_metrics_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'ndgc'.*'ndcg'\?.*coverage"):
        parse_metric("ndgc@10")


@pytest.mark.parametrize(
    "items, target, message",
    [
        ([[0, 1]], targets([{0}, {1}], 5), "1 lists but 2 rows"),
        ([[0]], targets([{0}], 5), "recall@2 .* 2 items, not 1"),
        ([[0, 5]], targets([{0}], 5), r"items 0\.\.5, not within 0\.\.4"),
        ([[-2, 0]], targets([{0}], 5), r"items -2\.\.0"),
        ([[0, 1]], targets([{0}], 6), "target has 6 items; expected 5"),
        ([[0, 1]], np.ones((1, 5)), "target .*csr.*, not ndarray"),
        ([[0, 1]], sp.csc_array((1, 5)), "target .*csr.*, not csc_array"),
    ],
)
def test_lists_and_targets_that_do_not_fit(items, target, message) -> None:
    accumulator = MetricAccumulator(["recall@2"], 5)
    with pytest.raises(DataError, match=message):
        accumulator.update(lists(items), target)
    assert accumulator.per_user()["recall@2"].shape == (0,)


def test_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(ConfigError, match="n_items .*>= 1"):
        MetricAccumulator("recall@2", 0)
