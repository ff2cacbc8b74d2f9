"""Vectors and categories of items: matched by id, and rejected where they do not fit."""

from __future__ import annotations

import math
import weakref

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Fold, Interactions, Popularity, RecaeWarning, evaluate

# Training users: a 4, b 3, c 2, d 1. The lists of two: 7 has a and gets b, c; 8 has c, gets a, b.
DATA = Interactions.from_csr(
    sp.csr_matrix([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]), items=list("abcd")
)
MODEL = Popularity().fit(DATA)


def fold(items=tuple("abcd"), history=("a", "c"), target=("b", "d")) -> Fold:
    parts = []
    for wanted in (history, target):
        rows = [[int(item == one) for item in items] for one in wanted]
        parts.append(Interactions.from_csr(sp.csr_matrix(rows), users=[7, 8], items=list(items)))
    return Fold(*parts)


VECTORS = pd.DataFrame({"x": [1, 1, 0, 7], "y": [1, 0, 1, 7]}, index=list("bacd"))
# b is between a and c, which are apart.
HALF = 1 - math.sqrt(0.5)


@pytest.mark.parametrize(
    "given",
    [
        VECTORS,
        (list("bacd"), VECTORS.to_numpy()),
        (recae.data.IdMap(list("bacd"), "item"), VECTORS.to_numpy(dtype=np.float32)),
        VECTORS.iloc[::-1],
    ],
)
def test_vectors_are_matched_by_id(given) -> None:
    report = evaluate(MODEL, fold(), "diversity@2", item_vectors=given)
    np.testing.assert_allclose(report.per_user["diversity@2"], [HALF, HALF], atol=1e-6)
    # Another order of the fold's items, and one more, which the model cannot recommend.
    other = evaluate(MODEL, fold(tuple("dzbca")), "diversity@2", item_vectors=given)
    np.testing.assert_allclose(other.per_user["diversity@2"], [HALF, HALF], atol=1e-6)
    assert report.provenance["item_vectors"].startswith("given, ")
    same = evaluate(MODEL, fold(), "diversity@2", item_vectors=VECTORS.astype(float))
    assert same.provenance["item_vectors"] != ""


def test_the_vectors_of_models(int_data) -> None:
    some = recae.data.splits.holdout_pairs(int_data, 0.3).validation
    svd = recae.PureSVD(latent=3).fit(some.history)
    own = evaluate(svd, some, "diversity@4")
    given = evaluate(svd, some, "diversity@4", item_vectors=svd)
    pd.testing.assert_frame_equal(own.per_user, given.per_user)
    assert own.provenance["item_vectors"].startswith("of the model")
    assert given.provenance["item_vectors"].startswith("PureSVD(latent=3")
    # The digest is that of the vectors, whoever has them.
    digests = {r.provenance["item_vectors"].split(", ")[-1] for r in (own, given)}
    assert len(digests) == 1
    lists = svd.recommend_array(some.history, k=4).items
    unit = svd.item_embeddings_ / np.linalg.norm(svd.item_embeddings_, axis=1, keepdims=True)
    for row, value in zip(lists, own.per_user["diversity@4"], strict=True):
        shown = unit[row[row >= 0]]
        cosines = (shown @ shown.T)[np.triu_indices(len(shown), 1)]
        assert value == pytest.approx(1 - cosines.mean(), abs=1e-5)
    ease = evaluate(recae.EASE().fit(some.history), some, "diversity@4", item_vectors=svd)
    assert ease.per_user["diversity@4"].between(0, 2).all()


CATEGORIES = pd.DataFrame(
    {"item_id": list("aabbcz"), "category": ["x", "y", "x", "x", "y", "w"]}  # b is x, said twice
)


def test_categories_are_matched_by_id() -> None:
    with pytest.warns(RecaeWarning, match="1 of 4 .*category"):
        report = evaluate(MODEL, fold(), "miscalibration@2", item_categories=CATEGORIES)
    # 7: a is half x, half y; b, c are x and y. 8: c is y; a, b are three quarters x.
    expected = [0, math.log(1 / (0.99 * 0.25 + 0.01))]
    np.testing.assert_allclose(report.per_user["miscalibration@2"], expected, atol=1e-12)
    assert report.provenance["item_categories"].startswith("given, ")


def test_without_categories_they_are_groups_of_popularity() -> None:
    # Ten interactions, 4 | 3 | 2 1: the middles 2, 5.5, 8, 9.5 fall into the thirds 0, 1, 2, 2.
    report = evaluate(MODEL, fold(), ["miscalibration@2", "popularity_lift@2"])
    # 7: had the head, gets middle and tail. 8: had the tail, gets head and middle.
    assert report.per_user["miscalibration@2"].tolist() == pytest.approx([math.log(100)] * 2)
    assert report.provenance["item_categories"] == "head, middle and tail"
    lift = [(2.5 - 4) / 4, (3.5 - 2) / 2]
    assert report.per_user["popularity_lift@2"].tolist() == pytest.approx(lift)


def never(matrix: object) -> None:
    raise AssertionError("something was scored")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, ConfigError, "diversity@2 .*vectors.* Popularity .*item_vectors="),
        (VECTORS.drop("c"), DataError, "item_vectors lack 1 of the 4 items, the first 'c'"),
        (VECTORS.replace(7, np.nan), DataError, "NaN .*1 items, .*'d"),
        (VECTORS.astype(str), DataError, "numbers .*4 ids"),
        ((list("abc"), np.ones((4, 2))), DataError, r"3 ids; .*float64 .*\(4, 2"),
        ((list("aacd"), np.ones((4, 2))), DataError, "item ids .*distinct"),
        (np.ones((4, 2)), DataError, "item_vectors .*ndarray"),
        (([1, 2, 3, 4], np.ones((4, 2))), DataError, "item ids .*text .*integers"),
    ],
)
def test_bad_vectors_are_named_before_anything_is_ranked(
    given, error, message, monkeypatch
) -> None:
    monkeypatch.setattr(MODEL, "_score_rows", never)
    with pytest.raises(error, match=message):
        evaluate(MODEL, fold(), ["recall@2", "diversity@2"], item_vectors=given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": "x"}, "item_categories .* dict"),
        (CATEGORIES.rename(columns={"category": "genre"}), "'category'.* genre"),
        (CATEGORIES.replace("w", None), "category ids .* 1 of 6 rows"),
        (CATEGORIES.tail(1), "none .*4 item ids"),
        (CATEGORIES.assign(item_id=range(6)), "item ids .*integers .*text"),
    ],
)
def test_bad_categories_are_named_before_anything_is_ranked(given, message, monkeypatch) -> None:
    monkeypatch.setattr(MODEL, "_score_rows", never)
    with pytest.raises(DataError, match=message):
        evaluate(MODEL, fold(), "miscalibration@2", item_categories=given)


@pytest.mark.parametrize("model", [recae.PureSVD(latent=3), recae.ELSA(latent=3, epochs=1)])
def test_no_more_than_one_batch_of_scores_is_held(int_data, monkeypatch, model) -> None:
    some = recae.data.splits.holdout_pairs(int_data, 0.3).validation
    model = model.clone().fit(some.history)
    score, held = model._score_rows, []

    def watched(matrix):
        assert all(scores() is None for scores in held), "the batch before is still in memory"
        scores = score(matrix)
        held.append(weakref.ref(scores))
        return scores

    monkeypatch.setattr(model, "_score_rows", watched)
    metrics = ["ndcg@3", "diversity@3", "miscalibration@3", "popularity_lift@3", "gini@3"]
    evaluate(model, some, metrics, batch_size=4)
    assert len(held) > 2
