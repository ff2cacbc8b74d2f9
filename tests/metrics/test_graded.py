"""Graded gains against a slow version, and the arithmetic of published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError
from recae.metrics import MetricAccumulator, parse_metric, uses_weights
from recae.ranking.top_k import TopK

NAMES = ["dcg", "graded_ndcg", "exponential_dcg", "exponential_ndcg"]


def slow(name: str, items: list[int], weights: dict[int, float], k: int) -> float:
    """One user, straight from the formula."""
    if not weights:
        return math.nan

    def gain(weight: float) -> float:
        return 2**weight - 1 if name.startswith("exponential") else weight

    def dcg(listed: list[float]) -> float:
        return sum(gain(w) / math.log2(rank + 1) for rank, w in enumerate(listed[:k], start=1))

    seen: set[int] = set()
    found = []
    for item in items:
        found.append(0.0 if item in seen else weights.get(item, 0.0))
        seen.add(item)
    best = dcg(sorted(weights.values(), reverse=True))
    return dcg(found) / best if name.endswith("ndcg") else dcg(found)


def random_case(seed: int) -> tuple[np.ndarray, sp.csr_matrix]:
    rng = np.random.default_rng(seed)
    target = sp.random(40, 25, 0.2, format="csr", random_state=seed)
    target.data = rng.choice([0.5, 1, 2, 3.5, 5], len(target.data))
    lists = np.array([rng.permutation(25)[:8] for _ in range(40)])
    lists[rng.random(lists.shape) < 0.1] = -1
    lists[::5, 3] = lists[::5, 1]  # listed twice
    return lists, target


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3, 8])
def test_they_are_those_of_the_slow_version(name: str, k: int) -> None:
    lists, target = random_case(k)
    top = TopK(lists, np.zeros(lists.shape, dtype=np.float32))
    found = parse_metric(f"{name}@{k}")(top, target)
    for row, value in enumerate(found):
        part = target[[row]]
        weights = dict(zip(part.indices.tolist(), part.data.tolist(), strict=True))
        expected = slow(name, lists[row].tolist(), weights, k)
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_jarvelin_and_kekalainen() -> None:
    # Their example G' = <3, 2, 3, 0, 0, 1, 2, 2, 3, 0>, section 2.2, in the discount log2(r + 1):
    # 3 + 2/log2(3) + 3/2 + 1/log2(7) + 2/3 + 2/log2(9) + 3/log2(10), written out.
    gains = [3, 2, 3, 0, 0, 1, 2, 2, 3, 0]
    target = sp.csr_matrix([gains], dtype=np.float32)
    top = TopK(np.arange(10)[None], np.zeros((1, 10), dtype=np.float32))
    expected = 3 + 2 / 1.584962500721156 + 1.5 + 1 / 2.807354922057604 + 2 / 3
    expected += 2 / 3.169925001442312 + 3 / 3.321928094887362
    assert parse_metric("dcg@10")(top, target)[0] == pytest.approx(expected, abs=1e-12)


def test_ranx_burges_example() -> None:
    # Relevance 5, 4, 3 at ranks 2, 1, 4: (2^4-1) + (2^5-1)/log2 3 + (2^3-1)/log2 5, over the best.
    target = sp.csr_matrix([[4.0, 5, 0, 3]])
    top = TopK(np.arange(4)[None], np.zeros((1, 4), dtype=np.float32))
    log3, log5 = math.log2(3), math.log2(5)
    expected = (15 + 31 / log3 + 7 / log5) / (31 + 15 / log3 + 7 / 2)
    assert parse_metric("exponential_ndcg@4")(top, target)[0] == pytest.approx(expected)


def test_all_weights_one_is_the_binary_ndcg() -> None:
    lists, target = random_case(4)
    target.data[:] = 1
    top = TopK(lists, np.zeros(lists.shape, dtype=np.float32))
    binary = parse_metric("ndcg@5")(top, target)
    for name in ("graded_ndcg@5", "exponential_ndcg@5"):
        np.testing.assert_allclose(parse_metric(name)(top, target), binary, atol=1e-14)


def test_batches_change_no_bit() -> None:
    lists, target = random_case(5)
    top = TopK(lists, np.zeros(lists.shape, dtype=np.float32))
    whole = MetricAccumulator([f"{name}@7" for name in NAMES], 25)
    whole.update(top, target)
    parts = MetricAccumulator([f"{name}@7" for name in NAMES], 25)
    for start in range(0, 40, 7):
        rows = slice(start, start + 7)
        parts.update(TopK(top.items[rows], top.scores[rows]), target[rows])
    for name, values in whole.per_user().items():
        np.testing.assert_array_equal(values, parts.per_user()[name])


def test_weights_without_a_finite_gain_are_refused() -> None:
    target = sp.csr_matrix([[1.0, 352_698, 2000]])
    top = TopK(np.arange(3)[None], np.zeros((1, 3), dtype=np.float32))
    assert parse_metric("graded_ndcg@3")(top, target)[0] < 1
    with pytest.raises(DataError, match=r"exponential_ndcg .*1000.* 352698 \(2 ") as caught:
        parse_metric("exponential_ndcg@3")(top, target)
    assert caught.value.parameter == "metrics"


def test_evaluate_and_compare_use_the_weights() -> None:
    rng = np.random.default_rng(0)
    ratings = sp.random(60, 30, 0.3, format="csr", random_state=0)
    ratings.data = rng.integers(1, 6, len(ratings.data)).astype(float)
    data = recae.Interactions.from_csr(ratings)
    split, flat = (recae.RandomSplit(0, 0.3).split(d, seed=1) for d in (data, data.binarised()))
    model = recae.Popularity().fit(split.train)
    graded, binary = (recae.evaluate(model, s.test, ["graded_ndcg@10"]) for s in (split, flat))
    top = model.recommend_array(split.test.history, k=10)
    expected = [
        slow(
            "graded_ndcg",
            top.items[row].tolist(),
            dict(zip(part.indices.tolist(), part.data.tolist(), strict=True)),
            10,
        )
        for row in range(len(top))
        for part in [split.test.target.matrix[[row]]]
    ]
    np.testing.assert_allclose(graded.per_user["graded_ndcg@10"], expected, atol=1e-12)
    with pytest.raises(DataError, match="'flat' .*weights"):
        recae.compare({"graded": graded, "flat": binary}, "graded_ndcg@10")
    with pytest.raises(DataError, match="'flat' .*weights"):
        entries = [recae.report.Entry("graded", [graded]), recae.report.Entry("flat", [binary])]
        recae.report.markdown(entries)
    assert [name for name in [*NAMES, "ndcg", "auc"] if uses_weights(f"{name}@5")] == NAMES


def test_they_can_choose_among_epochs() -> None:
    data = recae.Interactions.from_csr(sp.random(30, 12, 0.4, format="csr", random_state=1))
    fold = recae.data.splits.holdout_pairs(data, 0.4)
    model = recae.MultDAE(latent=2, hidden=(), epochs=2, metric="graded_ndcg@5")
    model.fit(fold.train, fold.validation)
    assert [0 < epoch.metrics["graded_ndcg@5"] <= 1 for epoch in model.epochs_] == [True, True]
    with pytest.raises(ConfigError):
        recae.MultDAE(metric="auc").fit(fold.train, fold.validation)


def test_exponential_gains_of_tiny_weights_are_not_lost() -> None:
    targets = sp.csr_matrix(np.array([[1e-30, 2e-30, 0]]))
    found = MetricAccumulator(["exponential_ndcg@2"], 3)
    found.update(TopK(np.array([[1, 0]]), np.zeros((1, 2), np.float32)), targets)
    assert found.per_user()["exponential_ndcg@2"].tolist() == pytest.approx([1.0])
