"""Folds and splits check that their parts fit together."""

import pandas as pd
import pytest

from recae.data import Interactions
from recae.data.splits.folds import Fold, Split
from recae.errors import DataError


def data(*records):
    return Interactions.from_frame(pd.DataFrame(records, columns=["user_id", "item_id"]))


TRAIN = data((1, "a"), (1, "b"), (2, "a"))
VALIDATION = data((1, "c"))


def test_folds_and_splits_check_that_their_parts_fit():
    with pytest.raises(DataError, match="target of .*fold .* users"):
        Fold(TRAIN, VALIDATION)
    with pytest.raises(DataError, match="mask of .*fold .* items"):
        Fold(TRAIN, TRAIN, TRAIN.select_items([1, 0]))
    with pytest.raises(DataError, match="test fold .* items .*train"):
        Split(VALIDATION, None, Fold(TRAIN, TRAIN))
    assert "validation  None" in repr(Split(TRAIN, None, Fold(TRAIN, TRAIN)))
