"""Item-kNN and user-kNN beside slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import cosine_similarity

import recae
from recae import Interactions, ItemKNN, UserKNN

X = sp.random(60, 20, 0.2, format="csr", random_state=3)
X.data = np.ceil(5 * X.data)
DATA = Interactions.from_csr(X)
ONES = (X.toarray() > 0).astype(float)


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Each row with its k highest positive entries only."""
    kept = np.zeros_like(similarity)
    for row, values in enumerate(similarity):
        best = np.argsort(-values, kind="stable")[:k]
        kept[row, best] = values[best]
    return kept


def with_evidence(scores: np.ndarray) -> np.ndarray:
    return np.where(scores > 0, scores, -np.inf)


@pytest.mark.parametrize(("weights", "matrix"), [("neither", ONES), ("both", X.toarray())])
@pytest.mark.parametrize("k", [3, 19])
def test_item_knn_is_the_sum_of_cosines(weights, matrix, k) -> None:
    cosines = cosine_similarity(matrix.T)
    np.fill_diagonal(cosines, 0)
    kept = nearest(cosines, k)
    model = ItemKNN(neighbours=k, weights=weights).fit(DATA)
    found = model.similarity_.toarray()
    # Among equal cosines at the end of a list either may stay: compare the values kept.
    np.testing.assert_allclose(np.sort(found), np.sort(kept), atol=1e-6)
    np.testing.assert_allclose(found[found > 0], cosines[found > 0], rtol=1e-6)
    np.testing.assert_allclose(model.score(DATA), with_evidence(matrix @ found), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # it warns about itself
@pytest.mark.parametrize("similarity", ["tf-idf", "bm25"])
def test_item_knn_weights_like_implicit(similarity) -> None:
    from implicit.nearest_neighbours import BM25Recommender, TFIDFRecommender

    from recae.system.threads import ONE_BLAS

    kind = TFIDFRecommender if similarity == "tf-idf" else BM25Recommender
    with ONE_BLAS:
        theirs = kind(K=6)
        theirs.fit(sp.csr_matrix(ONES), show_progress=False)
    ours = ItemKNN(neighbours=5, similarity=similarity).fit(DATA).similarity_.toarray()
    expected = theirs.similarity.toarray()
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(np.sort(ours), np.sort(expected), atol=1e-6)


@pytest.mark.parametrize(("weights", "matrix"), [("neither", ONES), ("both", X.toarray())])
@pytest.mark.parametrize("k", [4, 60, 1000])
def test_user_knn_is_the_sum_over_the_nearest_users(weights, matrix, k) -> None:
    kept = nearest(cosine_similarity(matrix), k)
    expected = with_evidence(kept @ matrix)
    model = UserKNN(neighbours=k, weights=weights).fit(DATA)
    np.testing.assert_allclose(model.score(DATA), expected, rtol=1e-5)


def test_what_nothing_speaks_for_is_not_recommended() -> None:
    # Two groups that share no item: nobody is recommended what only the other group has.
    apart = sp.block_diag([np.ones((4, 3)), np.ones((4, 3))], format="csr")
    history = sp.csr_matrix([[1.0, 0, 0, 0, 0, 0]])
    for model in (ItemKNN(), UserKNN()):
        frame = model.fit(apart).recommend(history=history, k=6)
        assert frame["item_id"].tolist() == [1, 2]


def test_ties_leave_as_many_neighbours_as_asked_for() -> None:
    same = sp.csr_matrix(np.ones((4, 6)))  # six identical columns: all are as near
    model = ItemKNN(neighbours=2).fit(same)
    assert np.diff(model.similarity_.indptr).tolist() == [2] * 6
    assert model.similarity_.diagonal().tolist() == [0] * 6


def test_huge_weights_are_weights() -> None:
    huge = sp.csr_matrix(X * 1e37)
    one, other = (UserKNN(weights="both").fit(x).recommend(k=3) for x in (sp.csr_matrix(X), huge))
    assert one["item_id"].tolist() == other["item_id"].tolist()


@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
def test_more_neighbours_than_there_are_are_all_there_are(model: type) -> None:
    every, beyond = (model(neighbours=k).fit(DATA).score(DATA) for k in (100, 10**12))
    np.testing.assert_array_equal(beyond, every)


@pytest.mark.parametrize(("weights", "matrix"), [("neither", ONES), ("both", X.toarray())])
def test_centred_item_knn_is_the_weighted_mean_over_the_neighbours_of_the_item(
    weights, matrix, tmp_path
) -> None:
    neighbours = ItemKNN(neighbours=4, weights=weights).fit(DATA).similarity_.toarray()
    mean = matrix.mean(axis=0)
    expected = np.empty_like(matrix)
    for user, row in enumerate(matrix):
        for item in range(matrix.shape[1]):
            s = neighbours[item]  # of the neighbours N(j), 0 for all others
            expected[user, item] = mean[item] + (s * (row - mean)).sum() / s.sum()
    model = ItemKNN(neighbours=4, weights=weights, scoring="centred").fit(DATA)
    np.testing.assert_allclose(model.score(DATA), expected, rtol=1e-5, atol=1e-6)
    again = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score(DATA), model.score(DATA))


def test_centred_item_knn_falls_back_on_popularity() -> None:
    apart = Interactions.from_csr(sp.csr_matrix([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]))
    model = ItemKNN(scoring="centred").fit(apart)  # no two items have a user in common
    np.testing.assert_allclose(model.score(apart), [[0.5, 0.25, 0.25]] * 4)
