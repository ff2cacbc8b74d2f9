"""Whatever a caller has becomes Interactions; parts of them are asked for by the right things."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae import ConfigError, DataError, Fold, Interactions
from recae.data import IdMap, as_interactions

FRAME = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})


def test_interactions_frames_and_matrices() -> None:
    data = Interactions.from_frame(FRAME)
    assert as_interactions(data) is data
    assert as_interactions(FRAME).fingerprint() == data.fingerprint()
    matrix = sp.csr_array(data.matrix)
    known = as_interactions(matrix, items=data.items)
    assert known.items == data.items and known.users.ids.tolist() == [0, 1]
    assert as_interactions(matrix.tocoo()).items.ids.tolist() == [0, 1]


@pytest.mark.parametrize("odd", [None, 3, "plays.csv", [[1, 2]], np.ones((2, 2)), FRAME["user_id"]])
def test_other_things_are_named(odd: object) -> None:
    with pytest.raises(DataError, match=f"expected Interactions.*not {type(odd).__name__}"):
        as_interactions(odd)


@pytest.mark.parametrize(
    "mask", [[True], [1, 0, 1], np.ones((1, 3), bool), [True, False, True, True], "abc"]
)
def test_a_mask_is_one_truth_value_for_each_interaction(mask: object) -> None:
    with pytest.raises(DataError, match=r"mask .*\(3,\) bool"):
        Interactions.from_frame(FRAME).keep(mask)  # type: ignore[arg-type]


def test_ids_may_be_given_as_a_list() -> None:
    data = Interactions.from_frame(FRAME)
    assert data.with_users([2, 1, 9]).matrix.toarray().tolist() == [[1, 0], [1, 1], [0, 0]]
    some, left_out = data.with_items(["b", "c"])
    assert some.items == IdMap(["b", "c"]) and left_out == 2
    with pytest.raises(DataError, match="user ids .*distinct"):
        data.with_users([1, 1, 2])
    with pytest.raises(DataError, match="unknown user 2"):
        data.with_users([1])


def test_a_fold_is_made_of_interactions() -> None:
    data = Interactions.from_frame(FRAME)
    for parts, name in (((FRAME, data), "history"), ((data, None), "target")):
        with pytest.raises(DataError, match=f"{name} of .*fold .*Interactions"):
            Fold(*parts)
    with pytest.raises(DataError, match="mask of .*fold .*Interactions.* str"):
        Fold(data, data, mask="train")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="n .*>= 0"):
        IdMap.range(-1)


def test_counts_of_filters_are_not_negative() -> None:
    with pytest.raises(ConfigError, match="min_per_user .*>= 0.* -1"):
        Interactions.from_frame(FRAME).filter(min_per_user=-1)
