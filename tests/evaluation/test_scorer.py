"""Any function that scores histories is masked, ranked and measured like a model of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import ConfigError, DataError, Fold, Interactions
from recae.evaluation import Scorer

METRICS = ["ndcg@3", "recall@5", "map@4", "novelty@5", "popularity@3", "coverage@5", "gini@5"]


@pytest.fixture(scope="module")
def split(text_data: Interactions) -> recae.data.splits.Split:
    return recae.data.splits.holdout_pairs(text_data, 0.3)


@pytest.fixture(scope="module")
def fold(split: recae.data.splits.Split) -> Fold:
    assert split.validation is not None
    return split.validation


def ease(train: Interactions, l2: float) -> np.ndarray:
    """Steck 2019, equation 8, on its own: B = -P / diag(P), with a diagonal of 0."""
    inverse = np.linalg.inv((train.matrix.T @ train.matrix).toarray() + l2 * np.eye(train.n_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("form", ["numpy", "float32", "torch", "fortran"])
def test_a_closed_form_of_ones_own_equals_our_ease(
    form: str, split: recae.data.splits.Split, fold: Fold
) -> None:
    weights = ease(split.train, 3.0)

    def score(histories: Any) -> Any:
        scores = histories @ weights
        if form == "torch":
            return torch.from_numpy(scores).requires_grad_()
        if form == "fortran":
            return np.asfortranarray(scores)
        return scores.astype(np.float32) if form == "float32" else scores

    theirs = Scorer(score, split.train.items, train=split.train, name="their EASE")
    ours = recae.EASE(l2=3.0)
    for batch_size in ("auto", 5):
        report = recae.evaluate(theirs, fold, METRICS, batch_size=batch_size)
        expected = recae.evaluate(ours.fit(split.train), fold, METRICS)
        pd.testing.assert_frame_equal(report.per_user, expected.per_user)
        pd.testing.assert_frame_equal(report.items, expected.items)
        pd.testing.assert_frame_equal(report.users, expected.users)
        assert report.catalogue == expected.catalogue
        assert report.model == "Scorer('their EASE')"
        assert report.provenance["device"] == "cpu"
        assert report.provenance["items"] == split.train.n_items


def test_columns_are_those_of_the_items_given(split: recae.data.splits.Split, fold: Fold) -> None:
    """Their own order, without one item of ours and with one of theirs."""
    order = np.random.default_rng(0).permutation(split.train.n_items)[1:]
    ids = [*split.train.items.ids[order], "new"]
    liked = np.append(np.bincount(split.train.matrix.indices, minlength=16)[order], 1000)
    seen: list[tuple[int, ...]] = []

    def score(histories: Any) -> np.ndarray:
        seen.append(histories.shape)
        return np.tile(liked.astype(float), (histories.shape[0], 1))

    with pytest.warns(recae.RecaeWarning, match="not know .*1 items"):
        report = recae.evaluate(Scorer(score, ids), fold, ["recall@17", "mrr@1"])
    assert seen == [(len(fold.history.users), 16)]
    assert report["mrr@1"] == 0  # "new" is first everywhere
    missing = fold.target.items.ids[np.setdiff1d(np.arange(16), order)][0]
    wanted = fold.target.to_frame().groupby("user_id")["item_id"]
    expected = wanted.apply(lambda items: (items != missing).mean())
    found = report.per_user["recall@17"]
    assert found.to_dict() == pytest.approx(expected.to_dict())


def test_the_scores_that_were_returned_are_not_written_to(
    split: recae.data.splits.Split, fold: Fold
) -> None:
    kept = np.zeros((fold.history.n_users, 16), dtype=np.float32)
    kept.setflags(write=False)
    recae.evaluate(Scorer(lambda histories: kept, split.train.items), fold, "ndcg@3")
    assert not kept.any()


def test_minus_infinity_never_comes(split: recae.data.splits.Split, fold: Fold) -> None:
    def score(histories: Any) -> np.ndarray:
        scores = np.zeros(histories.shape)
        scores[:, 1:] = -np.inf
        return scores

    report = recae.evaluate(Scorer(score, split.train.items), fold, "coverage@5")
    assert report["coverage@5"] == 1 / 16


def test_bad_scores_are_named(split: recae.data.splits.Split, fold: Fold) -> None:
    def refused(message: str, score: Any) -> None:
        with pytest.raises(DataError, match=message):
            recae.evaluate(Scorer(score, split.train.items, name="theirs"), fold, "ndcg@3")

    def bad(value: float) -> Any:
        def score(histories: Any) -> np.ndarray:
            scores = histories.toarray()
            scores[1, 2] = value
            return scores

        return score

    refused(r"nan .*row 1 .*item .i10. \(1 of", bad(np.nan))
    refused("inf .*row 1 ", bad(np.inf))
    refused(r"shape \(\d+, 16\), .*returned \(16, \d+\)",
            lambda h: h.toarray().T)  # fmt: skip
    refused("numbers, not csr_matrix", lambda h: h)
    refused("numbers, not NoneType", lambda h: None)
    refused("numbers, not list", lambda h: [["a"]])


def test_bad_scorers_are_refused(split: recae.data.splits.Split, fold: Fold) -> None:
    with pytest.raises(ConfigError, match="score .*function .*not int"):
        Scorer(7, [1])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="item ids .*distinct"):
        Scorer(lambda histories: histories.toarray(), [1, 1])
    theirs = Scorer(lambda histories: histories.toarray(), split.train.items)
    with pytest.raises(ConfigError, match="novelty@5 .*training users"):
        recae.evaluate(theirs, fold, "novelty@5")
    numbers = Scorer(lambda histories: histories.toarray(), range(16))
    with pytest.raises(DataError, match="item ids .*(integers|text)"):
        recae.evaluate(numbers, fold, "ndcg@5")


def test_a_function_is_never_called_without_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recae.ranking.batches.BATCH_CELLS", 1)  # batches of 64 users
    rng = np.random.default_rng(0)
    data = Interactions.from_csr(sp.csr_matrix((rng.random((150, 30)) < 0.4).astype(np.float32)))
    split = recae.data.splits.holdout_pairs(data, 0.3)
    assert split.validation is not None

    def score(histories: Any) -> Any:
        return np.stack([np.arange(30.0) for _ in range(histories.shape[0])])  # fails for none

    report = recae.evaluate(Scorer(score, data.items), split.validation, "ndcg@3")
    assert report.provenance["device"] == "cpu" and len(report.per_user) == 150
