"""AUC and percentile rank: pairs counted one by one, in batches, blocks and other items."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import ConfigError, DataError, Fold, Interactions
from recae.evaluation import Scorer
from recae.metrics import MetricAccumulator, parse_metric, target_ranks
from recae.ranking.top_k import TopK

NAMES = ["auc", "percentile_rank"]


def slow(scores: np.ndarray, masked: set[int], targets: set[int]) -> tuple[float, float]:
    """One user: scores of all items, -inf for those that may not be listed."""
    allowed = [i for i in range(len(scores)) if i not in masked and scores[i] > -np.inf]
    others = [i for i in allowed if i not in targets]
    wins, ranks = 0.0, []
    for target in targets:
        if target not in allowed:
            ranks.append(1.0)
            continue
        wins += sum(
            (scores[target] > scores[i]) + 0.5 * (scores[target] == scores[i]) for i in others
        )
        above = sum(scores[i] > scores[target] for i in allowed)
        ties = sum(scores[i] == scores[target] for i in allowed if i != target)
        ranks.append((above + ties / 2) / (len(allowed) - 1) if len(allowed) > 1 else 0.0)
    if not targets:
        return math.nan, math.nan
    pairs = len(targets) * len(others)
    return wins / pairs if pairs else math.nan, float(np.mean(ranks))


def case(seed: int, users: int = 30, items: int = 20) -> tuple[np.ndarray, Fold]:
    """Scores with many ties, and a fold of these users."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (users, items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.05] = -np.inf
    kind = rng.choice(3, (users, items), p=[0.6, 0.2, 0.2])
    kind[:3] = 0  # without a target
    kind[4] = 2  # everything is a target
    kind[5], kind[5, 1] = 1, 2  # one item is left
    parts = [Interactions.from_csr(sp.csr_matrix((kind == k).astype(float))) for k in (1, 2)]
    return scores, Fold(*parts)


def scorer(scores: np.ndarray, items: object = None) -> Scorer:
    """Gives each history in turn its row of scores."""
    place = {"at": 0}

    def score(histories: sp.csr_matrix) -> np.ndarray:
        start = place["at"]
        place["at"] += histories.shape[0]
        return scores[start : place["at"]]

    return Scorer(score, np.arange(scores.shape[1]) if items is None else items)


@pytest.mark.parametrize("batch_size", [1, 7, "auto"])
def test_every_pair_counts(batch_size: int | str) -> None:
    scores, fold = case(0, users=20)
    report = recae.evaluate(scorer(scores), fold, [*NAMES, "recall@3"], batch_size=batch_size)
    for user in range(len(scores)):
        masked = set(fold.history.matrix[user].indices.tolist())
        targets = set(fold.target.matrix[user].indices.tolist())
        expected = slow(scores[user], masked, targets)
        assert tuple(report.per_user.loc[user, NAMES]) == pytest.approx(expected, nan_ok=True)
    assert report.metrics == ["auc", "percentile_rank", "recall@3"]
    assert not {"hits@0", "hits@1"} & {*report.items}


def test_models_that_score_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Interactions.from_csr(sp.random(50, 30, 0.3, format="csr", random_state=0))
    split = recae.RandomSplit(0, 0.3).split(data, seed=1)
    model = recae.PureSVD(latent=3).fit(split.train)
    assert not isinstance(model._score_rows(split.train.matrix), torch.Tensor)
    monkeypatch.setattr("recae.ranking.batches.BATCH_CELLS", 300)  # some rows at a time
    report = recae.evaluate(model, split.test, NAMES)
    scores = model.score(split.test.history)
    for row, user in enumerate(split.test.history.users.ids):
        masked = set(split.test.history.matrix[row].indices.tolist())
        targets = set(split.test.target.matrix[row].indices.tolist())
        expected = slow(scores[row], masked, targets)
        assert tuple(report.per_user.loc[user, NAMES]) == pytest.approx(expected, abs=1e-6)


def test_targets_that_the_model_lacks_come_last() -> None:
    scores, fold = case(2)
    lacks = np.array([3, 8])  # the model has the other items, in another order
    known = np.setdiff1d(np.arange(20), lacks)[::-1]
    with pytest.warns(recae.RecaeWarning):  # histories have those items too
        report = recae.evaluate(scorer(scores[:, known], known), fold, NAMES)
    hidden = scores.copy()
    hidden[:, lacks] = -np.inf
    for user in range(len(scores)):
        masked = set(fold.history.matrix[user].indices.tolist())
        targets = set(fold.target.matrix[user].indices.tolist())
        expected = slow(hidden[user], masked, targets)
        assert tuple(report.per_user.loc[user, NAMES]) == pytest.approx(expected, nan_ok=True)


def test_published_values() -> None:
    # roc_auc_score in scikit-learn's documentation: y = 0, 0, 1, 1 and these scores give 0.75.
    targets = sp.csr_matrix([[0, 0, 1, 1.0]])
    ranks = target_ranks(torch.tensor([[0.1, 0.4, 0.35, 0.8]]), targets)
    accumulator = MetricAccumulator(NAMES, 4)
    top = TopK(np.array([[3]]), np.zeros((1, 1), dtype=np.float32))
    accumulator.update(top, targets, ranks=ranks)
    # The targets are at ranks 1 and 3 of 4: percentiles 0 and 2/3.
    assert accumulator.per_user()["auc"][0] == 0.75
    assert accumulator.per_user()["percentile_rank"][0] == pytest.approx(1 / 3)


def test_chance_is_one_half() -> None:
    rng = np.random.default_rng(0)
    scores, fold = rng.random((300, 40)).astype(np.float32), case(3, 300, 40)[1]
    means = recae.evaluate(scorer(scores), fold, NAMES).mean
    assert means["auc"] == pytest.approx(0.5, abs=0.03)
    assert means["percentile_rank"] == pytest.approx(0.5, abs=0.03)
    ties = recae.evaluate(scorer(np.zeros((300, 40))), fold, NAMES).per_user.dropna()
    assert ties["auc"].eq(0.5).all()


def test_lists_have_no_ranks_of_all_items() -> None:
    scores, fold = case(4)
    top = pd.DataFrame({"user_id": range(30), "item_id": 1, "rank": 1})
    lists = recae.Lists(top, on_missing="empty", on_masked="drop")
    with (
        pytest.warns(recae.RecaeWarning),
        pytest.raises(ConfigError, match="auc .*scores") as caught,
    ):
        recae.evaluate(lists, fold, ["auc"])
    assert caught.value.value == "auc"
    with pytest.raises(ConfigError, match="auc"):
        MetricAccumulator("auc", 3).update(
            TopK(np.zeros((1, 1), dtype=int), np.zeros((1, 1))), sp.csr_matrix((1, 3))
        )


def test_names_have_no_k() -> None:
    for name in NAMES:
        assert str(parse_metric(name)) == name and parse_metric(name).per_user
        with pytest.raises(ConfigError, match=name):
            parse_metric(f"{name}@10")
    with pytest.raises(ConfigError):
        parse_metric("ndcg")
    less = recae.metrics.less_is_better
    assert less("percentile_rank") and not less("auc")


def test_they_are_compared_and_shown() -> None:
    reports = {}
    for seed in (5, 6):
        scores, fold = case(seed)[0], case(5)[1]
        reports[str(seed)] = recae.evaluate(scorer(scores), fold, NAMES)
    assert len(recae.compare(reports, "auc")) == 1
    entries = [recae.report.Entry(name, [report]) for name, report in reports.items()]
    assert "percentile_rank" in recae.report.markdown(entries)
    with pytest.raises((ConfigError, DataError)):
        recae.evaluation.by_popularity(reports["5"], k=1)
