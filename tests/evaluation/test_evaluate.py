"""Evaluating: means over the users who have a target, intervals, and what a result depends on."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Fold, Interactions, MultVAE, Popularity, Report, evaluate
from recae.errors import NotFittedError, RecaeWarning

# Item i has 10 - i of ten training users: everybody is told 0, 1, 2, ... but what they have.
STAIRS = np.tril(np.ones((10, 10)))[::-1]
MODEL = Popularity().fit(sp.csr_matrix(STAIRS))


def fold(history: list[list[int]], target: list[list[int]], users: list[str]) -> Fold:
    """A fold from the items of each user."""

    def interactions(items: list[list[int]]) -> Interactions:
        dense = np.zeros((len(users), 10))
        for row, some in enumerate(items):
            dense[row, some] = 1
        return Interactions.from_csr(sp.csr_matrix(dense), users=users)

    return Fold(interactions(history), interactions(target))


# Lists: ann 1, 2, 3, ...; bob 0, 1, 2, ...; cat has no target; dan 0, 2, 4, ....
FOLD = fold([[0], [9], [5], [1, 3]], [[1, 3], [5], [], [4, 2, 6]], ["ann", "bob", "cat", "dan"])


def test_means_are_over_the_users_with_a_target() -> None:
    report = evaluate(MODEL, FOLD, ["recall@3", "mrr@4", "coverage@2"])
    assert isinstance(report, Report)
    # Hits in the first three: ann 1 and 3 of 2 targets, bob none of 1, dan 2 and 4 of 3.
    expected = pd.DataFrame(
        {"recall@3": [1, 0, np.nan, 2 / 3], "mrr@4": [1, 0, np.nan, 1 / 2]},
        index=["ann", "bob", "cat", "dan"],
    )
    pd.testing.assert_frame_equal(report.per_user, expected)
    assert report["recall@3"] == pytest.approx((1 + 0 + 2 / 3) / 3, abs=1e-12)
    assert report["mrr@4"] == pytest.approx(0.5, abs=1e-12)
    # The first two of everybody, cat too: 1, 2 / 0, 1 / 0, 1 / 0, 2.
    assert report.catalogue == {"coverage@2": 3 / 10}
    assert report.mean == {
        "recall@3": report["recall@3"], "mrr@4": report["mrr@4"], "coverage@2": 0.3,
    }  # fmt: skip
    assert "on 3 users" in str(report) and str(report).startswith("Popularity()")


def test_intervals_bracket_the_means() -> None:
    rng = np.random.default_rng(0)
    users = [f"u{number}" for number in range(200)]
    target = [[int(rng.integers(10))] for _ in users]
    report = evaluate(MODEL, fold([[9]] * 200, target, users), ["ndcg@5", "coverage@5"])
    frame = report.frame()
    assert list(frame.columns) == ["mean", "low", "high"]
    row, values = frame.loc["ndcg@5"], report.per_user["ndcg@5"]
    assert row["low"] < row["mean"] < row["high"]
    # Close to the interval of the normal distribution, 1.96 standard errors to each side.
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert row["high"] - row["low"] == pytest.approx(2 * error, rel=0.15)
    assert frame.loc["coverage@5"].isna().tolist() == [False, True, True]
    again = evaluate(MODEL, fold([[9]] * 200, target, users), ["ndcg@5"])
    other = evaluate(MODEL, fold([[9]] * 200, target, users), ["ndcg@5"], seed=1)
    assert again.interval["ndcg@5"] == report.interval["ndcg@5"] != other.interval["ndcg@5"]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_the_batch_size_changes_nothing(batch_size) -> None:
    whole = evaluate(MODEL, FOLD, ["ndcg@3", "coverage@3"])
    report = evaluate(MODEL, FOLD, ["ndcg@3", "coverage@3"], batch_size=batch_size)
    pd.testing.assert_frame_equal(report.per_user, whole.per_user)
    assert report.catalogue == whole.catalogue and report.interval == whole.interval


def test_a_result_says_what_it_depends_on() -> None:
    provenance = evaluate(MODEL, FOLD).provenance
    assert list(evaluate(MODEL, FOLD).mean) == ["ndcg@100", "recall@20", "recall@50"]
    assert provenance["users"] == 3 and provenance["items"] == 10
    assert provenance["history"] == FOLD.history.fingerprint()
    assert provenance["target"] == FOLD.target.fingerprint()
    assert provenance["params"] == {"weights": "neither", "weight_transform": "none"}
    assert provenance["versions"]["recae"] == recae.__version__
    assert provenance["versions"]["numpy"] == np.__version__
    assert 0 <= provenance["seconds"] < 60
    assert datetime.fromisoformat(provenance["date"]).tzinfo is not None


def test_a_report_is_saved_as_json(tmp_path, text_data) -> None:
    rows = text_data.select_users(range(8))
    model = MultVAE(latent=np.int64(4), hidden=(np.int64(12),), lr=np.float32(0.5), epochs=1)
    mask = Interactions.from_csr(sp.csr_matrix((8, 16)), users=rows.users, items=rows.items)
    with pytest.warns(RecaeWarning, match=f"{rows.nnz} .* {rows.nnz} "):  # it knows the targets
        report = evaluate(model.fit(text_data), Fold(rows, rows, mask), ["ndcg@5", "coverage@5"])
    path = tmp_path / "report.json"
    assert report.save(path) == path
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved.keys() == {"model", "metrics", "provenance"}
    assert saved["model"] == repr(model)
    assert saved["metrics"]["ndcg@5"]["mean"] == pytest.approx(report["ndcg@5"])
    low, high = report.interval["ndcg@5"]
    assert saved["metrics"]["ndcg@5"]["low"] == pytest.approx(low)
    assert saved["metrics"]["ndcg@5"]["high"] == pytest.approx(high)
    assert saved["metrics"]["coverage@5"]["low"] is None  # NaN is not JSON
    assert saved["provenance"]["params"]["hidden"] == [12]
    assert saved["provenance"]["params"]["lr"] == 0.5
    assert "NaN" not in path.read_text(encoding="utf-8")


def test_one_user_has_a_mean_and_no_interval(tmp_path) -> None:
    report = evaluate(MODEL, fold([[9]], [[1]], ["solo"]), "mrr@3")
    assert report["mrr@3"] == 0.5
    assert np.isnan(report.interval["mrr@3"]).all()
    saved = json.loads(report.save(tmp_path / "solo.json").read_text())
    assert saved["metrics"]["mrr@3"] == {"mean": 0.5, "low": None, "high": None}


def test_only_a_number_of_the_whole_catalogue() -> None:
    report = evaluate(MODEL, FOLD, "coverage@1")
    assert report.per_user.shape == (4, 0)
    assert report.mean == {"coverage@1": 2 / 10}  # 1, 0, 0, 0
    assert "coverage@1" in str(report)


def test_what_cannot_be_measured_is_refused_before_any_ranking(monkeypatch) -> None:
    def never(matrix: object) -> None:
        raise AssertionError("something was scored")

    model = Popularity().fit(sp.csr_matrix(STAIRS))
    monkeypatch.setattr(model, "_score_rows", never)
    with pytest.raises(DataError, match="no user .*target"):
        evaluate(model, fold([[1]], [[]], ["ann"]))
    for wrong in (FOLD.history, None):
        with pytest.raises(DataError, match="not (Interactions|NoneType)") as error:
            evaluate(model, wrong)
        assert error.value.parameter == "fold" and error.value.value is wrong
    with pytest.raises(ConfigError, match="metric 'ndgc'.* mean 'ndcg'"):
        evaluate(model, FOLD, ["ndgc@10"])
    with pytest.raises(ConfigError, match="batch_size .*0"):
        evaluate(model, FOLD, batch_size=0)
    with pytest.raises(NotFittedError, match="Popularity .*fit"):
        evaluate(Popularity(), FOLD)


def test_a_report_cannot_be_saved_where_there_is_no_folder(tmp_path) -> None:
    with pytest.raises(recae.errors.StorageError, match="absent .*exist"):
        evaluate(MODEL, FOLD).save(tmp_path / "absent" / "report.json")
