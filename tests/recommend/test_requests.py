"""Whose lists are asked for: users and histories become rows in the model's order."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae import ConfigError, DataError, Interactions, RecaeWarning
from recae.data import IdMap
from recae.recommend.requests import align, as_interactions, resolve

ITEMS = IdMap(["a", "b", "c"], "item")
DATA = Interactions.from_csr(
    sp.csr_matrix([[1, 0, 2.0], [0, 0, 0], [0, 3, 0]]), users=[30, 10, 20], items=ITEMS
)


def of(data: Interactions | None) -> SimpleNamespace:
    """What a request needs of a model."""
    return SimpleNamespace(items_=ITEMS, history_=data, _facts={}, _trained=list)


MODEL = of(DATA)


def dense(request) -> list[list[float]]:
    return request.matrix.toarray().tolist()


def test_everybody_in_the_order_of_the_history() -> None:
    request = resolve(MODEL, None, None, "popular")
    assert request.users.tolist() == [30, 10, 20] and len(request) == 3
    assert dense(request) == [[1, 0, 2], [0, 0, 0], [0, 3, 0]]
    assert request.known.tolist() == [True, False, True]
    part = request.part(slice(1, 3))
    assert part.users.tolist() == [10, 20] and part.known.tolist() == [False, True]
    assert dense(part) == [[0, 0, 0], [0, 3, 0]]


@pytest.mark.parametrize(
    "users",
    [
        [20, 99, 30, 20],
        (20, 99, 30, 20),
        np.array([20, 99, 30, 20], dtype=np.int16),
        np.array([20, 99, 30, 20], dtype=np.uint64),
        pd.Series([20, 99, 30, 20], index=[5, 5, 5, 5]),
        pd.Index([20, 99, 30, 20]),
        pd.Categorical([20, 99, 30, 20]),
        iter([20, 99, 30, 20]),
    ],
)
def test_some_users_in_the_order_asked_for_with_repetitions(users) -> None:
    request = resolve(MODEL, users, None, "popular")
    assert request.users.tolist() == [20, 99, 30, 20] and request.users.dtype == np.int64
    assert dense(request) == [[0, 3, 0], [0, 0, 0], [1, 0, 2], [0, 3, 0]]
    assert request.known.tolist() == [True, False, True, True]


@pytest.mark.parametrize("user", [20, np.int64(20), np.uint8(20)])
def test_one_user_needs_no_list(user) -> None:
    request = resolve(MODEL, user, None, "raise")
    assert request.users.tolist() == [20] and dense(request) == [[0, 3, 0]]


def test_text_ids() -> None:
    data = Interactions.from_csr(DATA.matrix, users=["z", "y", "x"], items=ITEMS)
    for user in ("x", np.str_("x"), ["x"], np.array(["x"]), pd.Series(["x"], dtype="string")):
        request = resolve(of(data), user, None, "raise")
        assert request.users.tolist() == ["x"] and request.users.dtype == object
    nobody = resolve(of(data), [], None, "raise")
    assert nobody.users.dtype == object and nobody.matrix.shape == (0, 3)
    with pytest.raises(DataError, match="user ids .*integers .*cast"):
        resolve(of(data), [1], None, "skip")


def test_what_is_to_happen_with_strangers() -> None:
    with pytest.raises(DataError, match=r"unknown user 99 at row 1 \(1 of 2 rows"):
        resolve(MODEL, [20, 99], None, "raise")
    with pytest.raises(DataError, match=r"1 of 2 users .* first 10: pass on_u"):
        resolve(MODEL, [20, 10], None, "raise")
    with pytest.warns(RecaeWarning, match="2 of 3 users .* the first 10; "):
        request = resolve(MODEL, [10, 20, 99], None, "skip")
    assert request.users.tolist() == [20] and dense(request) == [[0, 3, 0]]
    with pytest.raises(ConfigError, match="unknown on_unknown None. Known: popular, raise, skip"):
        resolve(MODEL, None, None, None)


def test_a_stranger_costs_no_copy_of_the_history() -> None:
    rng = np.random.default_rng(0)
    big = sp.random(20_000, 3, 0.9, format="csr", random_state=rng, dtype=np.float32)
    big.data += 1
    data = Interactions.from_csr(big, items=ITEMS)
    resolve(of(data), [5], None, "raise")  # builds the index of the ids
    tracemalloc.start()
    request = resolve(of(data), [5, -1], None, "popular")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < data.matrix.data.nbytes / 4
    np.testing.assert_array_equal(request.matrix.toarray(), [big.toarray()[5], [0, 0, 0]])


def test_a_history_takes_the_place_of_the_fitted_interactions() -> None:
    history = pd.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["c", "a", "b"]})
    request = resolve(MODEL, None, history, "raise")
    assert request.users.tolist() == ["u", "v"] and dense(request) == [[1, 0, 1], [0, 1, 0]]
    request = resolve(MODEL, [1, 0], DATA.matrix[[0, 2]], "raise")  # rows are users 0 and 1
    assert request.users.tolist() == [1, 0] and dense(request) == [[0, 3, 0], [1, 0, 2]]
    with pytest.raises(DataError, match="unknown user 30"):
        resolve(MODEL, [30], DATA.matrix, "raise")
    with pytest.raises(DataError, match="no interactions: .*history="):
        resolve(of(None), [30], None, "raise")


def test_histories_come_in_three_forms() -> None:
    assert as_interactions(DATA) is DATA and as_interactions(DATA, ITEMS) is DATA
    frame = DATA.to_frame()
    from_frame = as_interactions(frame)
    assert from_frame.users.ids.tolist() == [20, 30]  # ascending; who has no row is not there
    from_csr = as_interactions(DATA.matrix, ITEMS)
    assert from_csr.items is ITEMS and from_csr.users.ids.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="2 item columns.* 3"):
        as_interactions(DATA.matrix[:, :2], ITEMS)
    for wrong in (None, 5, "history", [1, 2], np.ones((2, 3)), {"user_id": [1]}):
        with pytest.raises(DataError, match=f"not {type(wrong).__name__}"):
            as_interactions(wrong, ITEMS)


def test_aligning_moves_columns_and_counts_what_is_left_out() -> None:
    assert align(DATA, ITEMS) is DATA
    assert align(DATA, IdMap(["a", "b", "c"], "item")) is DATA
    moved = align(DATA, IdMap(["c", "z", "b", "a"], "item"))
    assert moved.matrix.toarray().tolist() == [[2, 0, 0, 1], [0, 0, 0, 0], [0, 0, 3, 0]]
    message = r"2 of 3 interactions .* 2 items.* 'b'"
    with pytest.warns(RecaeWarning, match=message):
        few = align(DATA, IdMap(["a"], "item"))
    assert few.matrix.toarray().tolist() == [[1], [0], [0]]
    # An unknown item that nobody has is not worth a warning.
    unused = Interactions.from_csr(sp.csr_matrix([[1.0, 0]]), items=["a", "new"])
    assert align(unused, ITEMS).matrix.toarray().tolist() == [[1, 0, 0]]
    with pytest.raises(DataError, match="item ids .*integers .*cast"):
        align(Interactions.from_csr(sp.csr_matrix([[1.0]])), ITEMS)
