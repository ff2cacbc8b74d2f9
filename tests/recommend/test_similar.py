"""Similar items and users, and scores of pairs, against slow and obvious versions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Interactions, RecaeWarning

RNG = np.random.default_rng(0)
X = np.where(RNG.random((30, 9)) < 0.4, RNG.integers(1, 6, (30, 9)), 0).astype(np.float32)
X[:, 3] = 0  # nobody has item 3
X[:, 8], X[4] = np.maximum(X[:, 8], 1), 0  # everybody but user 4, who has nothing, has item 8
X[4] = 0
DATA = Interactions.from_csr(sp.csr_matrix(X), users=[f"u{n}" for n in range(30)])
PLAIN = DATA.binarised()
KINDS = {name: model for name, model in recae.MODELS.items() if model.personalised}


@pytest.fixture(scope="module", params=list(KINDS))
def model(request: pytest.FixtureRequest) -> recae.Recommender:
    return KINDS[request.param](**KINDS[request.param].small).fit(PLAIN, seed=1)


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit @ unit.T


def test_items_that_nobody_has_are_similar_to_nothing(model) -> None:
    frame = model.similar_items(range(9), k=9)
    assert 3 not in {*frame["item_id"], *frame["similar_item_id"]}
    assert len(frame) and (frame["item_id"] != frame["similar_item_id"]).all()


def test_similar_items_obey_the_rules_of_lists(model) -> None:
    whole = model.similar_items([0, 1], k=9)
    kept = whole["similar_item_id"].isin([1, 2, 5])
    some = model.similar_items([0, 1], k=9, items=[1, 2, 3, 5])
    pairs = ["item_id", "similar_item_id", "score"]
    pd.testing.assert_frame_equal(some[pairs], whole[kept][pairs].reset_index(drop=True))
    without = model.similar_items([0, 1], k=9, exclude_items=[0, 4, 6, 7, 8])
    pd.testing.assert_frame_equal(without, some)


def test_unknown_items() -> None:
    model = recae.EASE().fit(PLAIN)
    with pytest.warns(RecaeWarning, match="1 of 2 .* 77"):
        found = model.similar_items([0, 77], k=2, on_unknown="skip")
    pd.testing.assert_frame_equal(found, model.similar_items(0, k=2))
    with pytest.raises(DataError, match="unknown item 77"):
        model.similar_items([0, 77])
    with pytest.warns(RecaeWarning, match="1 of 2 .*exclude_items .* 77"):
        model.similar_items(0, exclude_items=[1, 77])
    with pytest.raises(DataError) as error:
        model.similar_items(0, items=[77])
    assert error.value.parameter == "items"
    for rules in ({"exclude_items": {0: [1]}}, {"items": {0: [1]}}):
        with pytest.raises(DataError) as error:
            model.similar_items(0, **rules)
        assert error.value.parameter in rules
    for option in ("on_unknown", "on_unknown_items"):
        with pytest.raises(ConfigError) as wrong:
            model.similar_items(0, **{option: "popular"})
        assert wrong.value.parameter == option


@pytest.mark.parametrize("name", ["infinite-ae", "user-knn", "ensemble"])
def test_without_item_vectors_one_item_changes_the_scores_of_the_others(name) -> None:
    model = KINDS[name](**KINDS[name].small).fit(PLAIN, seed=1)
    alone = model.score(sp.csr_matrix(np.eye(9, dtype=np.float32)[[0]]))[0]
    usual = model.score(sp.csr_matrix((1, 9)))[0]
    change = alone - np.where(np.isfinite(usual), usual, 0)
    frame = model.similar_items(0, k=9)
    for item, score in zip(frame["similar_item_id"], frame["score"], strict=True):
        assert score == pytest.approx(change[item], abs=1e-5)
    left = [i for i in range(9) if i not in (0, 3) and np.isfinite(change[i])]
    assert sorted(frame["similar_item_id"]) == left


def test_similar_users_are_cosines_of_codes_or_histories(model) -> None:
    try:
        rows = model.embed_users(PLAIN)
        found = cosines(rows)
    except ConfigError:
        found = cosines(X > 0)
        found[found == 0] = -np.inf
    with pytest.warns(RecaeWarning, match="'u4'"):
        frame = model.similar_users(k=4, on_unknown="skip")
    assert "u4" not in {*frame["user_id"], *frame["similar_user_id"]}
    found[:, 4] = -np.inf
    np.fill_diagonal(found, -np.inf)
    for user, lists in frame.groupby("user_id"):
        expected = np.sort(found[int(str(user)[1:])])[::-1][:4]
        np.testing.assert_allclose(lists["score"], expected[: len(lists)], atol=1e-5)
        assert user not in set(lists["similar_user_id"])
        own = [found[int(str(user)[1:]), int(other[1:])] for other in lists["similar_user_id"]]
        np.testing.assert_allclose(lists["score"], own, atol=1e-5)


def test_weights_count_where_the_model_uses_them() -> None:
    model = recae.EASE(weights="both").fit(DATA)
    frame = model.similar_users(["u0"], k=1)
    found = cosines(X)[0]
    found[0] = -1
    assert frame["similar_user_id"].tolist() == [f"u{found.argmax()}"]
    assert frame["score"][0] == pytest.approx(found.max(), abs=1e-6)


def test_new_users_are_compared_with_the_fitted_ones() -> None:
    model = recae.EASE().fit(PLAIN)
    items = np.flatnonzero(X[2]).tolist()
    frame = model.similar_users(history=items, k=3)
    assert frame["user_id"].tolist() == [0] * 3
    assert frame["score"][0] == pytest.approx(1) and "u2" in set(frame["similar_user_id"])
    among = model.similar_users(history=items, k=3, among={"x": items[:1], "y": items})
    assert among["similar_user_id"].tolist() == ["y", "x"]
    loaded = recae.EASE().fit(PLAIN)
    loaded.history_ = None
    with pytest.raises(DataError, match="history="):
        loaded.similar_users(history=items)
    assert len(model.similar_users([], k=3)) == 0


def test_similar_users_never_hold_users_x_users() -> None:
    n = 20_000
    wide = sp.random(n, 50, 0.06, "csr", random_state=0, dtype=np.float32)
    wide.data[:] = 1
    model = recae.PureSVD(latent=4).fit(wide[np.diff(wide.indptr) > 0])
    tracemalloc.start()
    frame = model.similar_users(range(64), k=5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(frame) == 320 and peak < n * n / 4


def test_scores_of_pairs_are_those_of_the_matrix(model) -> None:
    pairs = pd.DataFrame(
        {"user_id": ["u7", "u0", "u7", "u29"], "item_id": [5, 3, 0, 8]}, index=[9, 9, 1, 2]
    )
    scores = model.score(PLAIN)
    found = model.score_pairs(pairs)
    expected = scores[[7, 0, 7, 29], [5, 3, 0, 8]]
    largest = np.abs(np.where(np.isfinite(scores), scores, 0)).max()
    np.testing.assert_allclose(found["score"], expected, atol=1e-5 * largest)
    assert found.index.equals(pairs.index) and found["score"].dtype == np.float32
    pd.testing.assert_frame_equal(found[["user_id", "item_id"]], pairs)
    again = model.score_pairs(pl.from_pandas(pairs), history=PLAIN)
    np.testing.assert_allclose(again["score"], expected, atol=1e-5 * largest)


def test_pairs_of_strangers_and_of_unknown_items() -> None:
    model = recae.EASE().fit(PLAIN)
    pairs = pd.DataFrame({"user_id": ["u0", "who", "u4"], "item_id": [77, 0, 0]})
    with pytest.warns(RecaeWarning) as caught:
        found = model.score_pairs(pairs, on_unknown="skip")
    assert len(caught) == 2 and found["score"].isna().all()
    with pytest.warns(RecaeWarning, match="1 of 3 .*pairs .* 77"):
        popular = model.score_pairs(pairs, on_unknown="popular")
    counts = float((X[:, 0] > 0).sum())
    assert popular["score"].tolist()[1:] == [counts, counts]
    with pytest.raises(DataError, match="unknown item 77"):
        model.score_pairs(pairs, on_unknown_items="raise")
    with pytest.raises(DataError, match="unknown user 'who'"):
        model.score_pairs(pairs[1:])
    with pytest.raises(DataError, match="item_id"):
        model.score_pairs(pairs[["user_id"]])
    assert len(model.score_pairs(pairs[:0])) == 0


def test_rows_of_arrays_have_names() -> None:
    table = pd.DataFrame({"user_id": ["9", "10", "9"], "item_id": [1, 2, 0]})
    model = recae.PureSVD(latent=2).fit(PLAIN)
    single = {
        user: model.embed_users([*rows]) for user, rows in table.groupby("user_id")["item_id"]
    }
    codes = model.embed_users(table, as_frame=True)
    scores = model.score(table, as_frame=True)
    top = model.recommend_array(table, 3)
    assert codes.index.name == scores.index.name == "user_id"
    assert codes.index.tolist() == scores.index.tolist() == top.users.tolist() == ["10", "9"]
    assert scores.columns.tolist() == [*range(9)] and len(top.skipped) == 0
    for user, code in single.items():
        np.testing.assert_allclose(codes.loc[user], code[0], atol=1e-6)
    np.testing.assert_array_equal(scores.to_numpy(), model.score(table))
    with pytest.warns(RecaeWarning, match="1 of 30"):
        skipped = model.recommend_array(PLAIN, 3, on_unknown="skip")
    assert skipped.skipped.tolist() == ["u4"]
    assert skipped.users.tolist() == [user for user in PLAIN.users.ids if user != "u4"]


@pytest.mark.parametrize(
    ("params", "used"),
    [
        ({}, np.sign),
        ({"weights": "both"}, np.asarray),
        ({"weights": "both", "weight_transform": "log1p"}, np.log1p),
    ],
)
def test_users_are_compared_by_the_weights_that_the_model_uses(params, used) -> None:
    rows = used(X[[1, 2]].astype(np.float64))
    expected = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    model = recae.ItemKNN(**params).fit(DATA if params else PLAIN)
    found = model.similar_users(["u1"], 1, history=DATA, among=DATA.select_users([2]))
    assert found["score"].tolist() == pytest.approx([expected], abs=1e-6)


def test_similar_items_in_the_context_of_a_user(model) -> None:
    own = [0, 5]
    found = model.similar_items(1, 9, history=own)
    usual, scores = model.similar_items(1, 9), model.score(own)[0].astype(np.float64)
    similar = np.full(9, -np.inf)
    similar[usual["similar_item_id"]] = usual["score"]
    listed = np.isfinite(similar) & np.isfinite(scores)
    listed[[1, *own]] = False
    parts = []
    for values in (similar, scores):
        some = values[listed]
        spread = some.std()
        flat = not len(some) or spread <= 1e-6 * np.abs(some).max()
        parts.append(np.zeros(len(some)) if flat else (some - some.mean()) / spread)
    total = dict(zip(np.flatnonzero(listed), parts[0] + parts[1], strict=True))
    assert {*found["similar_item_id"]} == {*total}
    expected = [total[item] for item in found["similar_item_id"]]
    np.testing.assert_allclose(found["score"], expected, atol=2e-4)
    assert found["score"].is_monotonic_decreasing
    allowed = model.similar_items(1, 9, history=own, items=[2, 5, 8])
    assert {*allowed["similar_item_id"]} == {2, 8} & {*total}


def test_the_context_of_similar_items_is_one_user() -> None:
    model = recae.EASE().fit(PLAIN)
    for history in ({"a": [1], "b": [2]}, {}, PLAIN.select_users([0, 1])):
        with pytest.raises(DataError) as error:
            model.similar_items(0, history=history)
        assert error.value.parameter == "history"
    with pytest.raises(DataError), pytest.warns(RecaeWarning):
        model.similar_items(0, history=[77])
