"""Strong generalisation from published tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError


def table(*rows: tuple[int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


TRAIN = table((1, "b"), (1, "a"), (2, "c"))
TABLES = {
    "validation_history": table((3, "a"), (3, "z")),
    "validation_target": table((3, "b")),
    "test_history": table((5, "a"), (4, "b")),
    "test_target": table((5, "c"), (5, "y"), (6, "a")),
}


def cells(data: recae.Interactions) -> set[tuple[int, str]]:
    return set(data.to_frame()[["user_id", "item_id"]].itertuples(index=False, name=None))


def test_items_are_those_of_train_and_the_rest_is_counted() -> None:
    split = recae.data.splits.fixed_folds(TRAIN, **TABLES)
    assert cells(split.train) == {(1, "a"), (1, "b"), (2, "c")}
    assert split.train.items.ids.tolist() == ["a", "b", "c"]
    assert split.left_out == 2  # (3, z) and (5, y)
    assert split.validation is not None and split.test is not None
    assert cells(split.validation.history) == {(3, "a")}
    assert cells(split.validation.target) == {(3, "b")}
    # User 4 has no target, user 6 no history: both stay, with an empty row.
    assert split.test.history.users.ids.tolist() == [4, 5, 6]
    assert cells(split.test.history) == {(4, "b"), (5, "a")}
    assert cells(split.test.target) == {(5, "c"), (6, "a")}
    assert split.test.mask is None


def test_all_items_may_stay() -> None:
    split = recae.data.splits.fixed_folds(TRAIN, **TABLES, items="all")
    assert split.left_out == 0 and split.test is not None
    assert split.train.items.ids.tolist()[:3] == ["a", "b", "c"]
    assert set(split.train.items.ids.tolist()) == {"a", "b", "c", "y", "z"}
    assert cells(split.test.target) == {(5, "c"), (5, "y"), (6, "a")}
    # Nobody could know y: one of the two targets of user 5 is found among three items, c.
    model = recae.Popularity().fit(split.train)
    report = recae.evaluate(model, split.test, "recall@5")
    assert report.per_user["recall@5"].tolist() == pytest.approx([np.nan, 1, 1], nan_ok=True)
    assert recae.evaluate(model, split.test, "recall@2")["recall@2"] < 1


def test_without_validation() -> None:
    test = {name: rows for name, rows in TABLES.items() if name.startswith("test")}
    split = recae.data.splits.fixed_folds(recae.Interactions.from_frame(TRAIN), **test)
    assert split.validation is None and split.left_out == 1
    with pytest.raises(DataError, match="validation_target is missing"):
        recae.data.splits.fixed_folds(
            TRAIN, **test, validation_history=TABLES["validation_history"]
        )
    with pytest.raises(DataError, match="validation_history is missing"):
        recae.data.splits.fixed_folds(TRAIN, **test, validation_target=TABLES["validation_target"])


def test_what_cannot_be_used_is_named() -> None:
    test = {name: rows for name, rows in TABLES.items() if name.startswith("test")}
    with pytest.raises(ConfigError, match="unknown items 'tarin'.* mean 'train'"):
        recae.data.splits.fixed_folds(TRAIN, **test, items="tarin")
    with pytest.raises(DataError, match="test target.*: .*Interactions.* None"):
        recae.data.splits.fixed_folds(TRAIN, test_history=TRAIN, test_target=None)
    with pytest.raises(DataError, match="test history.*: .*text.*cast"):
        recae.data.splits.fixed_folds(
            TRAIN, **test | {"test_history": test["test_history"].astype(str)}
        )
    with pytest.raises(DataError, match="none of .*1 interactions .*test target"):
        recae.data.splits.fixed_folds(TRAIN, **test | {"test_target": table((5, "q"))})
    with pytest.raises(DataError, match="test target.*: 1 .*repeat"):
        recae.data.splits.fixed_folds(TRAIN, **test | {"test_target": table((5, "c"), (5, "c"))})


def test_tables_with_times_in_two_units_are_refused() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])
    seconds = [1_577_836_800, 1_577_923_200, 1_578_009_600]
    dated = TRAIN.assign(timestamp=days)
    later = table((1, "c"), (2, "a")).assign(timestamp=seconds[:2])
    with pytest.raises(DataError, match=r"test table.* seconds .*1577836800.* train .*nanoseconds"):
        recae.data.splits.fixed_split(dated, test=later)
    for train, test in (
        (TRAIN.assign(timestamp=seconds), later),
        (dated, later.assign(timestamp=days[:2])),
        (TRAIN.assign(timestamp=[1, 2, 3]), later),  # places in an order have no unit
        (TRAIN, later),
    ):
        assert recae.data.splits.fixed_split(train, test=test).test.target.nnz == 2
