"""Popularity: counts, the same for everybody."""

import numpy as np
import pytest
import scipy.sparse as sp

import recae

# Users of items 0..3: 1, 3, 3, 0; sums of weights: 9, 3, 6.5, 0.
X = sp.csr_matrix(np.array([[9, 1, 2, 0], [0, 1, 4, 0], [0, 1, 0.5, 0]]))


def test_the_score_is_the_number_of_users() -> None:
    model = recae.Popularity().fit(X)
    assert model.score(X).tolist() == [[1, 3, 3, 0]] * 3
    assert model.score(X).dtype == np.float32
    # Items 1 and 2 tie: the lower column first.
    frame = model.recommend(0, exclude_seen=False)
    assert frame["item_id"].tolist() == [1, 2, 0, 3]
    assert frame["score"].tolist() == [3, 3, 1, 0]
    assert model.recommend(1)["item_id"].tolist() == [0, 3]


def test_or_the_sum_of_weights() -> None:
    model = recae.Popularity(weights="target").fit(X)
    assert model.score(X[:1]).tolist() == [[9, 3, 6.5, 0]]
    # A stranger gets the same list as everybody, and needs no option for it.
    for options in ({}, {"on_unknown": "popular"}):
        popular = model.recommend([0, 7], k=4, exclude_seen=False, **options)
        assert popular["item_id"].tolist() == [0, 2, 1, 3] * 2
        assert popular["score"].tolist() == [9, 6.5, 3, 0] * 2
    with pytest.warns(recae.RecaeWarning, match="1 of 1 .*7"):
        assert len(model.recommend([7], on_unknown="skip")) == 0


def test_counts_are_exact_where_float32_sums_would_stop() -> None:
    weights = sp.csr_matrix(np.full((3, 1), 2.0**24) + np.array([[0], [0], [2]]))
    model = recae.Popularity(weights="target").fit(weights)
    assert model.item_scores_.tolist() == [3 * 2.0**24 + 2]


def test_it_has_no_vectors_and_says_so() -> None:
    model = recae.Popularity().fit(X)
    with pytest.raises(recae.ConfigError, match="Popularity .*item embeddings"):
        model.similar_items([1])
    with pytest.raises(recae.ConfigError, match="Popularity .*latent space"):
        model.embed_users(X)
    with pytest.raises(recae.ConfigError, match="weights .*Popularity 'both'"):
        recae.Popularity(weights="both").fit(X)
