"""Folds and splits check that their parts fit together."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

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


def test_matrices_are_folds_of_numbered_users() -> None:
    history, target = scipy.sparse.csr_matrix([[1, 0, 1]]), scipy.sparse.coo_array([[0, 2, 0]])
    fold = Fold(history, target, mask=scipy.sparse.csc_matrix([[1, 0, 0]]))
    assert fold.history.items.ids.tolist() == [0, 1, 2] and fold.target.users.ids.tolist() == [0]
    assert fold.mask is not None and (fold.history.nnz, fold.target.nnz, fold.mask.nnz) == (2, 1, 1)
    with pytest.raises(DataError, match=r"\bitems\b"):
        Fold(history, scipy.sparse.csr_matrix([[0, 1]]))


@pytest.mark.parametrize("wrong", [None, 3, "x", [[1, 0]], np.ones((1, 2)), pd.DataFrame()])
def test_what_is_no_part_of_a_fold_or_split_is_named(wrong: object) -> None:
    name = type(wrong).__name__
    with pytest.raises(DataError, match=rf"history .*{name}") as caught:
        Fold(wrong, TRAIN)  # type: ignore[arg-type]
    assert caught.value.parameter == "history"
    with pytest.raises(DataError, match=rf"target .*{name}"):
        Fold(TRAIN, wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=name):
        Split(wrong, None, None)  # type: ignore[arg-type]
    if wrong is not None:
        with pytest.raises(DataError, match=rf"test .*{name}"):
            Split(TRAIN, None, wrong)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=rf"mask .*{name}"):
            Fold(TRAIN, TRAIN, wrong)  # type: ignore[arg-type]
