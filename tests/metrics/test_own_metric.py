"""A metric of the caller's own: a function of hits and numbers of targets."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import recae
from recae import ConfigError, DataError, Interactions
from recae.data.splits import Split, holdout_pairs
from recae.evaluation import Scorer
from recae.metrics import Metric, MetricAccumulator, parse_metrics
from tests.metrics.test_metrics import lists, targets


def discounted(hits, relevant):
    """Recall whose rank r counts 1 / r."""
    return (hits / np.arange(1, hits.shape[1] + 1)).sum(axis=1) / relevant


def my_recall(hits, relevant):
    return hits.sum(axis=1) / relevant


def measured(metrics, items=((3, 1, 4), (0, 2, -1), (5, 6, 7)), sets=({1, 4}, {9, 0}, set())):
    accumulator = MetricAccumulator(metrics, 10)
    accumulator.update(lists(items), targets(sets, 10))
    return accumulator.per_user()


def test_arithmetic_written_out() -> None:
    found = measured(["ndcg@3", discounted, Metric.of(discounted, 1)])
    assert list(found) == ["ndcg@3", "discounted@3", "discounted@1"]
    expected = [(1 / 2 + 1 / 3) / 2, 1 / 2, np.nan]  # a user without a target has no value
    np.testing.assert_allclose(found["discounted@3"], expected, rtol=1e-14)
    np.testing.assert_allclose(found["discounted@1"], [0, 1 / 2, np.nan], rtol=1e-14)


def test_it_equals_a_metric_of_ours_and_never_sees_users_without_a_target() -> None:
    seen = []

    def twin(hits, relevant):
        seen.append((hits.dtype, hits.shape, relevant.tolist()))
        result = my_recall(hits, relevant)
        hits[:] = False  # it may overwrite its arguments
        return result

    found = measured(["mrr@1", "recall@3", twin, "recall@2", "map@3"])
    np.testing.assert_array_equal(found["recall@3"], found["twin@3"])
    assert seen == [(np.dtype(bool), (2, 3), [2, 2])]
    alone = measured(["mrr@1", "recall@3", "recall@2", "map@3"])
    for name, values in alone.items():
        np.testing.assert_array_equal(found[name], values)


def test_without_any_target_it_is_not_called() -> None:
    def never(hits, relevant):
        raise AssertionError

    assert np.isnan(measured([Metric.of(never, 2)], [[0, 1]], [set()])["never@2"]).all()


@pytest.fixture(scope="module")
def split(text_data: Interactions) -> Split:
    return holdout_pairs(text_data, 0.3)


def test_models_scorers_lists_and_comparisons_take_it(split: Split, tmp_path) -> None:
    fold, k = split.validation, 4
    assert fold is not None
    model, other = recae.EASE().fit(split.train), recae.Popularity().fit(split.train)
    scorer = Scorer(lambda histories: model.score(histories), model.items_)
    users = fold.history.users.ids
    top = recae.Lists(model.recommend(users, k, history=fold.history))
    metrics = [f"recall@{k}", my_recall]
    reports = {
        name: recae.evaluate(system, fold, metrics)
        for name, system in (("ours", model), ("scorer", scorer), ("lists", top), ("pop", other))
    }
    for report in reports.values():
        mine, theirs = report.per_user[f"my_recall@{k}"], report.per_user[f"recall@{k}"]
        np.testing.assert_array_equal(mine, theirs)
        assert report.interval[f"my_recall@{k}"] == report.interval[f"recall@{k}"]
    np.testing.assert_array_equal(reports["ours"].per_user, reports["scorer"].per_user)
    np.testing.assert_array_equal(reports["ours"].per_user, reports["lists"].per_user)
    figures = ["difference", "low", "high", "p", "p_mean_holm"]
    mine, theirs = (
        recae.compare(reports, name, baseline="pop")[figures]
        for name in (f"my_recall@{k}", f"recall@{k}")
    )
    np.testing.assert_array_equal(mine, theirs)
    path = reports["ours"].save(tmp_path / "a.json", per_user=True)
    assert recae.Report.load(path).metrics == [f"recall@{k}", f"my_recall@{k}"]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (lambda hits, relevant: hits.sum(), r"of shape \(\)"),
        (lambda hits, relevant: hits, r"of shape \(2, 3\)"),
        (lambda hits, relevant: hits[:1, 0], r"of shape \(1,\)"),
        (lambda hits, relevant: None, "object"),
        (lambda hits, relevant: ["a", "b"], "<U1"),
        (lambda hits, relevant: np.array([0, np.nan]), "nan in 1 of 2 rows"),
        (lambda hits, relevant: np.array([-np.inf, 0]), "inf in 1 of 2 rows"),
    ],
)
def test_a_bad_result_names_the_metric(result, found) -> None:
    with pytest.raises(DataError, match=f"(?s)my_metric@3.*{found}") as raised:
        measured([Metric.of(result, 3, "my_metric")])
    assert raised.value.parameter == "metrics" and raised.value.value == "my_metric@3"


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: parse_metrics(my_recall), "metrics"),
        (lambda: parse_metrics([my_recall]), "metrics"),
        (lambda: parse_metrics(["ndcg@3", lambda hits, relevant: relevant]), "name"),
        (lambda: parse_metrics(["ndcg@3", partial(my_recall)]), "name"),
        (lambda: Metric.of(my_recall, 3, "ndcg"), "name"),
        (lambda: Metric.of(my_recall, 3, "gini"), "name"),
        (lambda: Metric.of(my_recall, 3, "a@b"), "name"),
        (lambda: parse_metrics([Metric.of(my_recall, 3, "a"), Metric.of(max, 3, "a")]), "metrics"),
        (lambda: Metric.of(my_recall, 0), "the k of my_recall@0"),
    ],
)
def test_a_metric_without_k_or_name_is_refused(make, parameter) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    assert raised.value.parameter == parameter


def test_it_is_measured_at_the_largest_k_of_the_others_wherever_it_stands() -> None:
    parsed = parse_metrics([my_recall, "ndcg@3", Metric.of(my_recall, 7), "mrr@5"])
    assert [*map(str, parsed)] == ["my_recall@7", "ndcg@3", "mrr@5"]
    assert [*map(str, parse_metrics([my_recall, "ndcg@3"]))] == ["my_recall@3", "ndcg@3"]
