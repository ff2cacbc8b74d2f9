"""Explanations of every model: they add up, and are the same one by one and together."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Interactions, RecaeWarning
from recae.recommend.explain import run

RNG = np.random.default_rng(5)
X = np.where(RNG.random((60, 14)) < 0.35, RNG.integers(1, 5, (60, 14)), 0).astype(np.float32)
X[:, 2] = np.where(X.sum(1) == 0, 1, X[:, 2])  # nobody is without an item
X[:, 5] = 0  # nobody has item 15
DATA = Interactions.from_csr(
    sp.csr_matrix(X), users=[f"u{n}" for n in range(60)], items=[*range(10, 24)]
)
PLAIN = DATA.binarised()
SUMS = ("ease", "rdlae", "elsa", "sparse-ease", "pure-svd", "svd-ae", "item-knn")


@pytest.fixture(scope="module", params=list(recae.MODELS))
def model(request: pytest.FixtureRequest) -> recae.Recommender:
    cls = recae.MODELS[request.param]
    return cls(**cls.small).fit(PLAIN, seed=1)


def lists(matrix: np.ndarray) -> dict[str, list[int]]:
    return {f"u{n}": (np.flatnonzero(row) + 10).tolist() for n, row in enumerate(matrix)}


def test_contributions_baseline_and_error_are_the_score(model) -> None:
    asked = [10, 12, 23]
    why = model.explain(PLAIN, items=asked, top=14)
    totals = why.totals
    assert totals["user_id"].tolist() == [f"u{n}" for n in range(60) for _ in asked]
    assert totals["item_id"].tolist() == asked * 60
    expected = model.score(PLAIN)[:, [0, 2, 13]].reshape(-1)
    np.testing.assert_allclose(totals["score"], expected, rtol=1e-5, atol=1e-5)
    sums = why.contributions.groupby(["user_id", "item_id"])["contribution"].agg(["sum", "size"])
    sums = sums.reindex(pd.MultiIndex.from_frame(totals[["user_id", "item_id"]]))
    assert (sums["size"].to_numpy() == np.repeat((X > 0).sum(1), 3)).all()
    finite = np.isfinite(totals["score"])
    left = (totals["score"] - totals["baseline"]).to_numpy() - sums["sum"].to_numpy()
    np.testing.assert_allclose(left[finite], totals["error"][finite], atol=1e-12)
    of_parts = why.contributions["contribution"].abs().max()
    assert np.abs(left[finite]).max() <= 1e-3 * max(of_parts, 1e-3)
    assert (totals["rest"] == 0).all() and why.method


def test_the_best_items_are_explained_and_their_highest_contributions_shown(model) -> None:
    own = lists(X)["u3"]
    why, every = model.explain(own, top=2), model.explain(own, top=99)
    best = model.recommend(history=own, k=10, on_unknown="popular")
    assert why.totals["item_id"].tolist() == best["item_id"].tolist()
    np.testing.assert_allclose(why.totals["score"], best["score"], rtol=1e-6)
    for item, reasons in every.contributions.groupby("item_id"):
        assert sorted(reasons["history_item_id"]) == own
        assert reasons["contribution"].is_monotonic_decreasing
        assert reasons["rank"].tolist() == [*range(1, len(own) + 1)]
        some = why.contributions[why.contributions["item_id"] == item]
        assert some["history_item_id"].tolist() == reasons["history_item_id"].tolist()[:2]
    np.testing.assert_allclose(
        why.totals["explained"] + why.totals["rest"], every.totals["explained"], atol=1e-9
    )


def test_a_history_is_explained_alone_as_with_others(model, monkeypatch) -> None:
    some = {user: items for user, items in lists(X).items() if user in ("u1", "u7", "u8")}
    together = model.explain(some, items=[11, 20], top=3)
    monkeypatch.setattr(run, "CELLS", 1)  # one history at a time
    alone = model.explain(some, items=[11, 20], top=3)
    single = model.explain(some["u7"], items=[11, 20], top=3)
    for frame in (alone.contributions, single.contributions):
        other = together.contributions
        if len(frame) != len(other):
            other = other[other["user_id"] == "u7"].reset_index(drop=True)
        np.testing.assert_allclose(
            frame["contribution"], other["contribution"], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("name", SUMS)
def test_a_contribution_is_what_the_score_loses_without_the_item(name) -> None:
    model = recae.MODELS[name](**recae.MODELS[name].small).fit(PLAIN, seed=1)
    own = lists(X)["u3"]
    why = model.explain(own, items=[10, 20], top=99).contributions
    scores = model.score(own)[0, [0, 10]]
    for item in own:
        without = model.score([i for i in own if i != item])[0, [0, 10]]
        finite = (
            np.where(np.isfinite(scores), scores, 0),
            np.where(np.isfinite(without), without, 0),
        )
        found = why[why["history_item_id"] == item]["contribution"]
        np.testing.assert_allclose(found, finite[0] - finite[1], atol=2e-5)


def test_als_by_its_closed_form() -> None:
    model = recae.ALS(**recae.ALS.small, weights="target").fit(DATA, seed=1)
    y, row = model.item_embeddings_.astype(np.float64), X[3].astype(np.float64)
    c = np.where(row > 0, 3.5 * row, 1)
    inverse = np.linalg.inv((y.T * c) @ y + 0.7 * np.eye(5))  # Hu et al. (2008), eq. 4
    expected = (y @ inverse @ y.T) * c * (row > 0)  # of item i (columns) to item j
    table = DATA.select_users([3])
    why = model.explain(table, items=[10, 20], top=99).contributions
    for number, item in ((0, 10), (10, 20)):
        found = why[why["item_id"] == item].set_index("history_item_id")["contribution"]
        np.testing.assert_allclose(
            found.sort_index(), expected[number][row > 0], rtol=1e-4, atol=1e-6
        )


def test_user_knn_by_the_common_items_of_the_nearest_users() -> None:
    model = recae.UserKNN(neighbours=6).fit(PLAIN)
    rows = (X > 0).astype(float)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    x = np.zeros(14)
    x[[0, 3, 7]] = 1
    near = np.argsort(-(unit @ x), kind="stable")[:6]
    why = model.explain([10, 13, 17], items=[20], top=99).contributions
    found = why.set_index("history_item_id")["contribution"]
    for item in (0, 3, 7):
        expected = sum(unit[v, item] / np.sqrt(3) * rows[v, 10] for v in near)
        assert found[item + 10] == pytest.approx(expected, abs=1e-6)


def test_models_without_a_use_for_the_history_have_only_a_baseline() -> None:
    why = recae.Popularity().fit(PLAIN).explain([11, 12], items=[13])
    assert why.contributions["contribution"].tolist() == [0, 0]
    assert why.totals["baseline"][0] == (X[:, 3] > 0).sum() == why.totals["score"][0]


def test_items_that_nothing_leads_to() -> None:
    why = recae.ItemKNN().fit(PLAIN).explain([11, 12], items=[15], top=1)
    assert why.totals[["score", "baseline"]].values.tolist() == [[-np.inf, -np.inf]]
    assert why.totals["error"].tolist() == [0] and len(why.contributions) == 1


def test_histories_of_any_kind() -> None:
    model = recae.EASE().fit(PLAIN)
    table = pd.DataFrame({"user_id": ["a", "a"], "item_id": [11, 12]})
    matrix = sp.csr_matrix(np.eye(14)[[1]] + np.eye(14)[[2]])
    first = model.explain([11, 12], top=1).contributions
    for given in (table, {"a": [12, 11]}, matrix, np.array([11, 12]), (11, 12), [11, 11, 12]):
        found = model.explain(given, top=1).contributions
        columns = ["item_id", "history_item_id", "contribution", "rank"]
        pd.testing.assert_frame_equal(found[columns], first[columns])
    assert len(model.explain({}, items=[11]).totals) == 0
    assert len(model.explain([11], items=[]).contributions) == 0
    assert len(model.explain(None, items=11, top=1).totals) == 60
    assert len(model.explain([11], items=[12, 12]).totals) == 1


def test_mistakes() -> None:
    model = recae.EASE().fit(PLAIN)
    with pytest.raises(DataError, match="99"):
        model.explain([11], items=[99])
    with pytest.raises(DataError) as wrong:
        model.explain([11], items={"u1": [12]})
    assert wrong.value.parameter == "items"
    with pytest.warns(RecaeWarning, match="99"):
        assert len(model.explain([11, 99], items=[12]).contributions) == 1
    with pytest.raises(DataError, match="1 of 1"), pytest.warns(RecaeWarning):
        model.explain([99])
    for top in (0, 2.5, "3", None):
        with pytest.raises(ConfigError) as error:
            model.explain([11], top=top)
        assert error.value.parameter == "top"
    with pytest.raises(recae.errors.NotFittedError):
        recae.EASE().explain([11])


@pytest.mark.parametrize("wrong", [["a"], [1.5], [[11], [12]], "11", 11, [None], [2**70], [True]])
def test_what_is_no_history(wrong: object) -> None:
    with pytest.raises(DataError), warnings.catch_warnings():
        warnings.simplefilter("ignore", RecaeWarning)
        recae.EASE().fit(PLAIN).explain(wrong)
