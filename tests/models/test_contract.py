"""The laws of lists, which every model obeys: who is in them, in which order, with which scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae import ConfigError, DataError, Interactions, RecaeWarning, Recommender
from recae.errors import NotFittedError
from recae.ranking import TopK
from recae.ranking import batches as rank
from tests.laws import assert_same_frames, assert_same_lists, assert_same_scores


def sorted_out(scores: np.ndarray, left: np.ndarray, k: int) -> list[tuple[int, float]]:
    """The slow and obvious list: columns that are left, by falling score, then rising column."""
    columns = sorted(np.flatnonzero(left), key=lambda column: (-scores[column], column))[:k]
    return [(int(column), float(scores[column])) for column in columns]


def lists(top: TopK) -> list[list[tuple[int, float]]]:
    """The lists of arrays without what fills them up."""
    return [
        [(int(item), float(score)) for item, score in zip(*row, strict=True) if item >= 0]
        for row in zip(top.items, top.scores, strict=True)
    ]


def seen_by(data: Interactions) -> dict[object, set[object]]:
    return data.to_frame().groupby("user_id")["item_id"].agg(set).to_dict()


def test_fit_returns_the_model_with_its_own_vocabulary(make, text_frame, text_data) -> None:
    model = make()
    assert model.fit(text_data) is model
    assert model.items_.ids.tolist() == sorted(text_frame["item_id"].unique())
    counts = text_frame["item_id"].value_counts()
    assert model.item_counts_.tolist() == [counts[item] for item in model.items_.ids]
    assert model.item_counts_.dtype == np.int64
    assert model.history_ is text_data
    scores = model.score(text_data)
    assert scores.shape == (36, 16) and scores.dtype == np.float32
    assert np.isfinite(scores).all() and np.unique(scores[5]).size > 4


def test_the_lists_are_the_scores_sorted_without_what_was_seen(fitted, text_data) -> None:
    scores, seen = fitted.score(text_data), text_data.matrix.toarray() > 0
    for k in (1, 5, 16, 40):
        expected = [sorted_out(scores[row], ~seen[row], k) for row in range(len(scores))]
        top = fitted.recommend_array(text_data, k)
        assert lists(top) == expected
        assert top.items.shape == top.scores.shape == (36, k)
        # u0 has one item left and u1 none: -1 and -inf fill the rows up.
        assert ((top.items == -1) == np.isneginf(top.scores)).all()


def test_the_frame_holds_the_same_lists(fitted, text_data) -> None:
    frame, top = fitted.recommend(k=6), fitted.recommend_array(text_data, 6)
    assert list(frame.columns) == ["user_id", "item_id", "score", "rank"]
    assert frame["score"].dtype == np.float32 and frame["rank"].dtype == np.int64
    assert isinstance(frame.index, pd.RangeIndex)
    expected = [
        (user, fitted.items_.ids[item], score, rank)
        for user, row in zip(text_data.users.ids, lists(top), strict=True)
        for rank, (item, score) in enumerate(row, start=1)
    ]
    assert list(frame.itertuples(index=False, name=None)) == expected


def test_seen_items_never_come_back_and_nothing_fills_their_place(fitted, text_data) -> None:
    frame, seen = fitted.recommend(k=16), seen_by(text_data)
    got = frame.groupby("user_id")["item_id"].agg(list)
    for user, items in seen.items():
        listed = got.get(user, [])
        assert len(listed) == len(set(listed)) == 16 - len(items), user
        assert not items & set(listed), user
    assert got["u0"] == ["i3"] and "u1" not in got
    assert len(fitted.recommend("u1")) == 0


def test_seen_items_may_come_back_when_asked_for(fitted, text_data) -> None:
    frame = fitted.recommend(k=16, exclude_seen=False)
    assert (frame.groupby("user_id")["item_id"].nunique() == 16).all()
    expected = [sorted_out(row, row == row, 16) for row in fitted.score(text_data)]
    assert lists(fitted.recommend_array(text_data, 16, exclude_seen=False)) == expected


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize(
    ("items", "exclude_items"),
    [
        (["i3", "i10", "i2"], None),
        (None, ["i0", "i15"]),
        (["i3", "i10", "i2"], ["i10"]),
        (["i3"], ["i3"]),
        ([], None),
        (None, []),
        (None, np.array([])),
    ],
)
def test_only_allowed_items_are_listed(fitted, text_data, items, exclude_items, exclude_seen):
    allowed = set(text_data.items.ids) if items is None else set(items)
    allowed -= set([] if exclude_items is None else exclude_items)
    options = {"items": items, "exclude_items": exclude_items, "exclude_seen": exclude_seen}
    frame = fitted.recommend(k=16, **options)
    got = frame.groupby("user_id")["item_id"].agg(set)
    for user, seen in seen_by(text_data).items():
        assert got.get(user, set()) == (allowed - seen if exclude_seen else allowed), user
    arrays = fitted.recommend_array(text_data, 16, **options)
    assert (arrays.items >= 0).sum() == len(frame)


def test_a_row_hardly_depends_on_its_batch(fitted, text_data) -> None:
    whole, scores = fitted.recommend_array(text_data, 9), fitted.score(text_data)
    for size in (1, 7, 36, 1000, np.int64(7)):
        assert_same_lists(fitted.recommend_array(text_data, 9, batch_size=size), whole)
    order = np.random.default_rng(0).permutation(text_data.n_users)
    shuffled = text_data.select_users(order)
    assert_same_lists(
        fitted.recommend_array(shuffled, 9), TopK(whole.items[order], whole.scores[order])
    )
    assert_same_scores(fitted.score(shuffled), scores[order])
    for row in range(text_data.n_users):
        assert_same_scores(fitted.score(text_data.select_users([row])), scores[row])


def test_the_same_call_gives_the_same_bits(fitted, text_data) -> None:
    first, again = (fitted.recommend_array(text_data, 9, batch_size=7) for _ in range(2))
    np.testing.assert_array_equal(first.items, again.items)
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(fitted.score(text_data), fitted.score(text_data))


def test_many_rows_score_as_one(fitted, text_data, monkeypatch) -> None:
    # More rows than a batch of 64: rows 0, 36, 72, ... are the same history.
    many = Interactions.from_csr(sp.vstack([text_data.matrix] * 5), items=text_data.items)
    scores, top = np.tile(fitted.score(text_data), (5, 1)), fitted.recommend_array(many)
    for cells in (rank.BATCH_CELLS, 1):
        monkeypatch.setattr(rank, "BATCH_CELLS", cells)
        assert_same_scores(fitted.score(many), scores)
        assert_same_lists(fitted.recommend_array(many), top)


def test_the_order_of_rows_in_a_frame_does_not_matter(make, fitted, text_frame, text_data) -> None:
    shuffled = text_frame.sample(frac=1, random_state=1)
    again = make().fit(shuffled, seed=1)
    np.testing.assert_array_equal(again.score(text_data), fitted.score(text_data))
    pd.testing.assert_frame_equal(fitted.recommend(history=shuffled), fitted.recommend())


def test_new_users_are_served_without_a_new_fit(fitted: Recommender) -> None:
    history = pd.DataFrame({"user_id": ["new", "new", "x"], "item_id": ["i1", "i2", "i9"]})
    frame = fitted.recommend(history=history, k=20)
    assert frame.groupby("user_id").size().to_dict() == {"new": 14, "x": 15}
    assert not {"i1", "i2"} & set(frame.loc[frame["user_id"] == "new", "item_id"])


def test_a_history_is_all_there_is_to_a_user(fitted, text_data) -> None:
    # The same history under another name, beside other people: the same list.
    row = text_data.users.encode(["u5"])
    stranger = Interactions.from_csr(
        text_data.matrix[row], users=["somebody"], items=text_data.items
    )
    known, new = fitted.recommend("u5"), fitted.recommend(history=stranger)
    pd.testing.assert_frame_equal(known.drop(columns="user_id"), new.drop(columns="user_id"))


def test_numbers_as_ids(fitted_int, int_data) -> None:
    frame = fitted_int.recommend([345, 100], k=3)
    assert frame["user_id"].tolist() == [345, 345, 345, 100]  # user 100 has one item left: 891
    assert frame["item_id"].tolist()[-1] == 891
    assert frame["rank"].tolist() == [1, 2, 3, 1]
    assert frame["user_id"].dtype == frame["item_id"].dtype == np.int64
    assert_same_frames(fitted_int.recommend(345, k=3), frame[:3])
    assert_same_frames(fitted_int.recommend(np.int32(345), k=3), frame[:3])
    scores = fitted_int.score(int_data)[int_data.users.encode([345])[0]]
    code = fitted_int.items_.encode(frame["item_id"][:3])
    assert_same_scores(frame["score"][:3], scores[code])


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True, np.float64(2)])
def test_k_must_be_a_positive_integer(fitted, k) -> None:
    with pytest.raises(ConfigError, match="^k .*>= 1") as error:
        fitted.recommend(k=k)
    assert error.value.parameter == "k" and error.value.value is k


def test_numpy_integers_are_integers(fitted) -> None:
    pd.testing.assert_frame_equal(
        fitted.recommend("u5", k=np.int8(4), batch_size=np.int64(2)), fitted.recommend("u5", k=4)
    )


@pytest.mark.parametrize("size", [0, -3, 2.5, "all", True, None])
def test_batch_size_must_be_auto_or_a_positive_integer(fitted, size) -> None:
    with pytest.raises(ConfigError, match="^batch_size .*'auto' .*>= 1"):
        fitted.recommend(batch_size=size)


def test_unknown_items_in_the_lists_of_items_are_counted_or_named(fitted) -> None:
    for option in ("items", "exclude_items"):
        with pytest.warns(RecaeWarning, match=f"1 of 2 .*{option} .*'i99'"):
            found = fitted.recommend(**{option: ["i1", "i99"]})
        pd.testing.assert_frame_equal(found, fitted.recommend(**{option: ["i1"]}))
        with pytest.raises(DataError, match="unknown item 'i99'"):
            fitted.recommend(**{option: ["i1", "i99"]}, on_unknown_items="raise")
        with pytest.raises(DataError, match="item ids .*array, not 5"):
            fitted.recommend(**{option: 5})
        with pytest.raises(DataError, match="item ids .*integers .*text"):
            fitted.recommend(**{option: [1]})
    with pytest.raises(DataError, match="none of .*2 .*items.*'i99'") as error:
        fitted.recommend(items=["i99", "i98"])
    assert error.value.parameter == "items"


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, data: model.recommend(),
        lambda model, data: model.recommend_array(data),
        lambda model, data: model.score(data),
        lambda model, data: model.similar_items(["i1"]),
        lambda model, data: model.embed_users(data),
        lambda model, data: model.save("nowhere"),
        lambda model, data: model.export("nowhere"),
    ],
)
def test_an_unfitted_model_says_so(make, text_data, ask) -> None:
    with pytest.raises(NotFittedError, match="not fitted: .*fit"):
        ask(make(), text_data)
