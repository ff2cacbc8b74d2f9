"""Histories that a store gives: in order, of the model's kind, or an error that names the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from recae import ConfigError, DataError
from recae.data import IdMap
from recae.errors import StoreError
from recae.serve.histories import look_up

NUMBERS, WORDS = IdMap([7, 8, 9], "item"), IdMap(["a", "b"], "item")


class Planted:
    """A store of these histories; an exception is raised."""

    def __init__(self, held: Any) -> None:
        self.held, self.asked = held, []

    def histories(self, users: Sequence[int | str]) -> Any:
        self.asked.append([*users])
        if isinstance(self.held, Exception):
            raise self.held
        return self.held

    def close(self) -> None:
        pass


def test_histories_come_in_the_order_of_the_users_in_one_call() -> None:
    store = Planted({2: [9], 1: [7, 8, 7]})
    found = look_up(store, [1, 2, 3, 1], NUMBERS)
    assert [one.history for one in found] == [[7, 8], [9], [], [7, 8]]
    assert [len(one.notes) for one in found] == [0, 0, 1, 0]
    assert found[2].notes == ({"rule": "store", "unknown_users": 1},)
    assert store.asked == [[1, 2, 3, 1]]
    found[2].history.append(5)  # a caller's list is its own
    assert look_up(store, [3], NUMBERS)[0].history == []


@pytest.mark.parametrize("given", [np.array([7, 8]), (7, 8), [np.int64(7), np.int32(8)]])
def test_other_lists_of_ids_become_plain_ones(given: Any) -> None:
    (found,) = look_up(Planted({1: given}), [1], NUMBERS)
    assert found.history == [7, 8] and {type(item) for item in found.history} == {int}


@pytest.mark.parametrize(
    ("items", "held"),
    [
        (NUMBERS, ["a"]),
        (NUMBERS, ["7"]),
        (WORDS, [7]),
        (NUMBERS, [7, "a"]),
        (NUMBERS, [7, None]),
        (NUMBERS, [7.0]),
        (NUMBERS, [True]),
        (NUMBERS, [2**63]),
        (NUMBERS, None),
        (NUMBERS, "abc"),
        (WORDS, [b"a"]),
        (NUMBERS, [[7]]),
    ],
)
def test_what_is_no_history_is_an_error_that_names_the_user(items: IdMap, held: Any) -> None:
    with pytest.raises(StoreError, match="'u17'"):
        look_up(Planted({"u17": held}), ["u17"], items)
    (found,) = look_up(Planted({"u17": held}), ["u17"], items, on_failure="popular")
    assert found.history == [] and found.notes == ({"rule": "store", "failed": 1},)


@pytest.mark.parametrize("held", [None, [7], 3, ValueError("broken"), OSError(), KeyError(1)])
def test_whatever_a_store_does_is_a_store_error(held: Any) -> None:
    with pytest.raises(StoreError):
        look_up(Planted(held), [1], NUMBERS)


def test_a_store_error_is_passed_on_and_a_wrong_user_is_the_callers() -> None:
    with pytest.raises(StoreError) as caught:
        look_up(Planted(StoreError("down", retry_after=7)), [1], NUMBERS)
    assert caught.value.retry_after == 7
    for on_failure in ("raise", "popular"):
        with pytest.raises(DataError) as wrong:
            look_up(Planted(DataError("text")), ["x"], NUMBERS, on_failure=on_failure)
        assert wrong.value.parameter == "user"


def test_without_a_store_the_history_must_come_along() -> None:
    with pytest.raises(DataError, match="--store") as caught:
        look_up(None, [1], NUMBERS)
    assert caught.value.parameter == "user" and caught.value.value == 1
    with pytest.raises(ConfigError) as wrong:
        look_up(Planted({}), [1], NUMBERS, on_failure="skip")
    assert wrong.value.parameter == "on_failure"
