"""The laws of histories, for every model: any form of them gives the same lists, and strangers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae import ConfigError, DataError, Interactions, RecaeWarning, Recommender
from recae.data import IdMap
from tests.laws import assert_same_frames, assert_same_scores


def assert_same_lists(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """The same items and scores, whatever the users are called."""
    pd.testing.assert_frame_equal(left.drop(columns="user_id"), right.drop(columns="user_id"))


def two_orders(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same cells, stored from right to left, with a zero stored and one cell in two halves."""
    coo = matrix.tocoo()
    row, column, data = coo.row[::-1], coo.col[::-1], coo.data[::-1].astype(np.float64)
    order = np.argsort(row, kind="stable")
    row, column, data = row[order], column[order], data[order]
    data[0] /= 2
    row, column, data = (
        np.append(row[:1], row),
        np.append(column[:1], column),
        np.append(data[:1], data),
    )
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=matrix.shape[0]))])
    return sp.csr_matrix((data, column, indptr), shape=matrix.shape)


@pytest.mark.parametrize(
    "form",
    [
        sp.csr_matrix,
        sp.csr_array,
        sp.csc_matrix,
        sp.coo_array,
        two_orders,
        lambda matrix: matrix.astype(np.float64),
        lambda matrix: sp.csr_array(
            (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)),
            shape=matrix.shape,
        ),
    ],
)
def test_any_sparse_form_gives_the_same(fitted_int, int_data, form) -> None:
    expected = fitted_int.recommend(k=7)
    given = form(int_data.matrix.copy())
    frame = fitted_int.recommend(history=given, k=7)
    assert_same_lists(frame, expected)
    assert frame["user_id"].tolist() == int_data.users.encode(expected["user_id"]).tolist()
    np.testing.assert_array_equal(fitted_int.score(given), fitted_int.score(int_data))
    some = fitted_int.recommend([7, 3], history=given, k=7)
    assert_same_lists(some, fitted_int.recommend(int_data.users.decode([7, 3]), k=7))


def test_a_frame_or_interactions_give_the_same(fitted_int, int_frame, int_data) -> None:
    expected = fitted_int.recommend(k=7)
    pd.testing.assert_frame_equal(fitted_int.recommend(history=int_data, k=7), expected)
    pd.testing.assert_frame_equal(fitted_int.recommend(history=int_frame, k=7), expected)


def test_items_are_matched_by_id(fitted, fitted_int, text_data, int_data) -> None:
    for model, data in ((fitted, text_data), (fitted_int, int_data)):
        order = np.random.default_rng(2).permutation(data.n_items)
        more = np.append(data.items.ids[order], data.items.ids[0] * 2)  # one id that nobody has
        other = data.with_items(IdMap(more, "item"))[0]
        np.testing.assert_array_equal(model.score(other), model.score(data))
        assert_same_frames(model.recommend(history=other), model.recommend())
        few = data.select_users([4, 5])
        used = few.select_items(np.unique(few.matrix.indices)[::-1])  # fewer items than the model
        assert_same_scores(model.score(used), model.score(data)[[4, 5]])


def test_unknown_items_are_left_out_with_a_warning_that_counts_them(fitted) -> None:
    known = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i9"]})
    unknown = pd.DataFrame({"user_id": ["a", "b", "b"], "item_id": ["new", "new", "odd"]})
    history = pd.concat([known, unknown])
    message = "3 of 6 interactions .*2 items.*'new'"
    expected = fitted.recommend(history=known)
    for ask in (
        lambda: fitted.recommend(history=history),
        lambda: fitted.recommend_array(history),
        lambda: fitted.score(history),
    ):
        with pytest.warns(RecaeWarning, match=message) as caught:
            result = ask()
        assert len(caught) == 1
        if isinstance(result, pd.DataFrame):
            pd.testing.assert_frame_equal(result, expected)


def test_unknown_users_raise_are_skipped_or_get_popular_items(fitted, text_data) -> None:
    if fitted.needs_history:
        with pytest.raises(DataError, match=r"unknown user 'who' at row 1 \(2 of 3 rows"):
            fitted.recommend(["u5", "who", "what"])
    with pytest.warns(RecaeWarning, match="2 of 3 users .*'who'; .*left out"):
        skipped = fitted.recommend(["who", "u5", "what"], on_unknown="skip")
    pd.testing.assert_frame_equal(skipped, fitted.recommend("u5"))
    popular = fitted.recommend(["who", "u5", "what"], k=16, on_unknown="popular", batch_size=1)
    order = np.lexsort((np.arange(16), -fitted.item_counts_))  # many first, then by column
    for user in ("who", "what"):
        rows = popular[popular["user_id"] == user]
        assert rows["item_id"].tolist() == fitted.items_.ids[order].tolist()
        assert rows["score"].tolist() == fitted.item_counts_[order].tolist()
    known = popular[popular["user_id"] == "u5"].reset_index(drop=True)
    assert_same_frames(known, fitted.recommend("u5", k=16))
    assert_same_frames(popular, fitted.recommend(["who", "u5", "what"], k=16, on_unknown="popular"))


def test_popular_items_obey_the_whitelist_too(fitted) -> None:
    options = {"items": ["i1", "i9", "i8"], "exclude_items": ["i9"], "on_unknown": "popular"}
    assert set(fitted.recommend("who", **options)["item_id"]) == {"i1", "i8"}


def test_empty_histories_raise_are_skipped_or_get_popular_items(fitted, text_data, proper) -> None:
    matrix = text_data.matrix.tolil()
    matrix[[2, 6]] = 0
    emptied = Interactions.from_csr(matrix.tocsr(), users=text_data.users, items=text_data.items)
    first = repr(str(text_data.users.ids[2]))
    if fitted.needs_history:
        with pytest.raises(DataError, match=rf"2 of 36 users .*the first {first}"):
            fitted.recommend(history=emptied)
    with pytest.warns(RecaeWarning, match="2 of 36 users .*; .*left out"):
        skipped = fitted.recommend_array(emptied, on_unknown="skip")
    whole = fitted.recommend_array(text_data)
    rest = np.delete(np.arange(36), [2, 6])
    np.testing.assert_array_equal(skipped.items, whole.items[rest])
    popular = fitted.recommend_array(emptied, on_unknown="popular", batch_size=4)
    order = np.lexsort((np.arange(16), -fitted.item_counts_))[:10]
    np.testing.assert_array_equal(popular.items[[2, 6]], [order, order])
    np.testing.assert_array_equal(popular.items[rest], whole.items[rest])
    assert proper(fitted.score(emptied))  # nobody is left out of the matrix of scores


def test_users_come_back_in_the_order_and_as_often_as_asked(fitted) -> None:
    frame = fitted.recommend(["u9", "u4", "u9"], k=2, batch_size=1)
    assert frame["user_id"].tolist() == ["u9", "u9", "u4", "u4", "u9", "u9"]
    assert_same_lists(frame[:2], frame[4:].reset_index(drop=True))


@pytest.mark.parametrize("users", [True, [False], 1.5, np.array([1.0]), [None], b"u1", ["u1", 2]])
def test_what_is_no_user_id_is_refused(fitted, users) -> None:
    with pytest.raises(DataError, match="user ids"):
        fitted.recommend(users)


def test_a_matrix_of_another_width_is_refused(fitted, text_data) -> None:
    for ask in (fitted.score, fitted.recommend_array, lambda h: fitted.recommend(history=h)):
        with pytest.raises(DataError, match="history has 9 item columns.*fitted on 16"):
            ask(text_data.matrix[:, :9])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (np.ones((2, 16)), "expected Interactions.* not ndarray"),
        ([["u1", "i1"]], "history .*{user: "),
        ({"u1": 5}, "history .*'u1'.* 5"),
        ({"user_id": ["u1"], "item_id": ["i1"]}, "history .*DataFrame"),
        (sp.csr_matrix(np.full((1, 16), np.nan)), "weights .*finite"),
        (sp.csr_matrix(-np.ones((1, 16))), "weights .*> 0"),
        (sp.csr_matrix(np.ones((1, 16), complex)), "matrix .*numbers .*complex"),
        (sp.coo_array(np.ones(16)), "sparse matrix .*numbers"),
        (pd.DataFrame({"user_id": [1], "movie": [2]}), "item column 'item_id'.* movie"),
        (pd.DataFrame({"user_id": [1], "item_id": [2]}), "item ids .*integers .*text"),
    ],
)
def test_what_is_no_history_is_refused(fitted, history, message) -> None:
    for ask in (fitted.score, fitted.recommend_array, lambda h: fitted.recommend(history=h)):
        with pytest.raises(DataError, match=message):
            ask(history)


def test_on_unknown_is_one_of_three(fitted) -> None:
    with pytest.raises(ConfigError, match="on_unknown 'skipp'.* mean 'skip'"):
        fitted.recommend(on_unknown="skipp")


def test_nobody_gives_an_empty_frame_of_the_same_columns(
    fitted: Recommender, fitted_int: Recommender
) -> None:
    for model, stranger in ((fitted, "who"), (fitted_int, 5)):
        dtypes = model.recommend(k=2).dtypes
        with pytest.warns(RecaeWarning, match="1 of 1 users"):
            skipped = model.recommend([stranger], on_unknown="skip")
        nobody = model.recommend([])
        rows = model.score(sp.csr_matrix((0, 16)))
        assert rows.shape == (0, 16)
        assert len(model.recommend_array(sp.csr_matrix((0, 16)), 3)) == 0
        for empty in (skipped, nobody, model.recommend(items=[])):
            assert len(empty) == 0
            pd.testing.assert_series_equal(empty.dtypes, dtypes)


def test_the_types_of_columns_do_not_depend_on_the_batch(fitted) -> None:
    # The batch of u1 alone has no row: it must not turn the other batches' text into objects.
    alone, whole = fitted.recommend(batch_size=1), fitted.recommend()
    assert_same_frames(alone, whole)
