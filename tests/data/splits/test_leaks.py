"""Every leak is planted into a sound split, and found; sound splits are left in peace."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError, Fold, RecaeWarning
from recae.data.splits import Split

USERS, ITEMS, EACH = 40, 300, 12
COLUMNS = ["user_id", "item_id"]


def tables(text: bool = False) -> dict[str, pd.DataFrame]:
    """Weak generalisation: 40 users, 12 of 300 items each: 8 train, 2 validate, 2 test."""
    rng = np.random.default_rng(5)
    items = np.stack([rng.choice(ITEMS, EACH, replace=False) for _ in range(USERS)])
    if text:
        items = np.char.add("i", items.astype(str)).astype(object)
    cuts = {"train": items[:, :8], "validation": items[:, 8:10], "test": items[:, 10:]}
    users = [f"u{n}" for n in range(USERS)] if text else range(USERS)
    return {name: frame(users, some) for name, some in cuts.items()}


def frame(users: Any, items: Any) -> pd.DataFrame:
    rows = [(user, item) for user, some in zip(users, items, strict=True) for item in some]
    return pd.DataFrame(rows, columns=COLUMNS)


def strong(text: bool = False) -> dict[str, pd.DataFrame]:
    """Strong generalisation: users 0..19 train with 12 items, 20..29 validate, 30..39 test."""
    whole = pd.concat(tables(text).values())
    number = whole["user_id"].astype(str).str.removeprefix("u").astype(int)
    valid, test = whole[(number >= 20) & (number < 30)], whole[number >= 30]
    last = {
        part: rows.groupby("user_id").cumcount() >= 9
        for part, rows in zip("vt", (valid, test), strict=True)
    }
    train = whole[number < 20]
    # Every item has a training user, so that none is left out.
    users, items = train["user_id"].iloc[0], whole["item_id"].unique()
    train = pd.concat([train, frame([users], [items])]).drop_duplicates()
    return {
        "train": train,
        "validation_history": valid[~last["v"]],
        "validation_target": valid[last["v"]],
        "test_history": test[~last["t"]],
        "test_target": test[last["t"]],
    }


def plus(rows: pd.DataFrame, *pairs: tuple[Any, Any]) -> pd.DataFrame:
    return pd.concat([rows, pd.DataFrame(pairs, columns=COLUMNS)])


def first(rows: pd.DataFrame) -> tuple[Any, Any]:
    user, item = rows.iloc[0]
    return user, item


@pytest.mark.parametrize("text", [False, True])
def test_sound_splits_pass(text: bool) -> None:
    weak, folds = recae.fixed_split(**tables(text)), recae.data.splits.fixed_folds(**strong(text))
    assert weak.test is not None and folds.validation is not None and folds.test is not None
    for split, kind in ((weak, "weak"), (folds, "strong")):
        for generalization in (kind, None):
            counts = recae.check_split(split, generalization=generalization)
            both = counts.pop("users in both folds")
            assert both == (USERS if kind == "weak" else 0)
            assert set(counts.values()) == {0}
    assert (folds.validation.target.nnz, folds.test.target.nnz) == (30, 30)
    assert folds.left_out == 0


def test_every_splitter_of_ours_passes(text_data: recae.Interactions) -> None:
    rng = np.random.default_rng(0)
    rows = frame(range(60), [rng.choice(200, 15, replace=False) for _ in range(60)])
    rows["timestamp"] = rng.permutation(len(rows))
    data = recae.Interactions.from_frame(rows)
    splits = [
        recae.StrongGeneralization(0.2).split(data),
        recae.RandomSplit().split(data),
        recae.LeaveLastOut().split(data),
        recae.GlobalTime().split(data),
        recae.data.splits.holdout_pairs(data, 0.2),
        *recae.UserKFold(folds=4).split(data),
    ]
    for split in splits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # by time, somebody may be new
            counts = recae.check_split(split)
        assert not any(count for name, count in counts.items() if "targets" in name)
        assert not any(count for name, count in counts.items() if "twins" in name)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_pair_of_a_fold_in_the_training_table_is_refused(part: str) -> None:
    given = tables()
    user, item = first(given[part])
    given["train"] = plus(given["train"], (user, item))
    message = rf"1 of 80 {part} targets .* train \(.*user {user} with item {item}\).*overlap='drop'"
    with pytest.raises(DataError, match=message):
        recae.fixed_split(**given)
    with pytest.warns(RecaeWarning, match=f"1 of 80 {part} targets .* train .*1 masked"):
        kept = recae.fixed_split(**given, overlap="keep")
    with pytest.raises(DataError, match=message):
        recae.check_split(kept)
    with pytest.warns(RecaeWarning, match=f"1 of 80 {part} targets .* train"):
        assert recae.check_split(kept, overlap="keep")[f"{part} targets in train"] == 1
    with pytest.warns(RecaeWarning, match=f"1 of 80 .* {part} table .*dropped"):
        dropped = recae.fixed_split(**given, overlap="drop")
    fold = dropped.test if part == "test" else dropped.validation
    assert fold is not None and fold.target.nnz == 79
    assert dropped.train.nnz == len(given["train"])
    recae.check_split(dropped)


def test_a_validation_pair_in_the_test_is_refused_whatever_is_masked() -> None:
    given = tables()
    user, item = first(given["validation"])
    given["test"] = plus(given["test"], (user, item))
    message = rf"1 of 81 test targets .* validation targets \(.*user {user} "
    for history in ("train", "train+validation"):
        with pytest.raises(DataError, match=message):
            recae.fixed_split(**given, history=history)
    with pytest.warns(RecaeWarning, match="1 of 81 test targets .* validation targets"):
        recae.fixed_split(**given, history="train", overlap="keep")
    with pytest.warns(RecaeWarning, match="1 of 81 .* test table .*dropped"):
        dropped = recae.fixed_split(**given, overlap="drop")
    assert dropped.test is not None and dropped.test.target.nnz == 80


def test_a_target_in_its_own_history_is_refused() -> None:
    given = strong()
    given["test_history"] = plus(given["test_history"], first(given["test_target"]))
    with pytest.raises(DataError, match="1 of 30 test targets .* own history"):
        recae.data.splits.fixed_folds(**given)


def test_a_held_out_user_in_the_training_table_is_refused() -> None:
    given = strong()
    user, item = first(given["test_history"])
    given["train"] = plus(given["train"], (user, item))
    with pytest.raises(DataError, match=rf"1 of 10 test users .* train \({user}\)"):
        recae.data.splits.fixed_folds(**given)
    other, _ = first(given["validation_target"])
    given = strong()
    given["test_history"] = plus(given["test_history"], (other, item))
    with pytest.raises(DataError, match=rf"1 of 11 test users .* validation users \({other}"):
        recae.data.splits.fixed_folds(**given)


def test_tables_that_count_their_users_anew_are_refused() -> None:
    given = strong()
    for part in ("test_history", "test_target"):
        given[part] = given[part].assign(user_id=given[part]["user_id"] - 30)
    with pytest.raises(DataError, match="10 of 10 test users .*ids distinct"):
        recae.data.splits.fixed_folds(**given)


def copied(given: dict[str, pd.DataFrame], user: int, without: int = 0) -> pd.DataFrame:
    """All that the tables know of a user, but for some rows, under the id 999."""
    whole = pd.concat([rows[rows["user_id"] == user] for rows in given.values()])
    return whole.iloc[without:].assign(user_id=999)


@pytest.mark.parametrize(("without", "how"), [(0, "exactly"), (1, "nearly")])
@pytest.mark.parametrize("make", [tables, strong])
def test_a_duplicated_user_is_reported(make: Any, without: int, how: str) -> None:
    given = make()
    given["train"] = pd.concat([given["train"], copied(given, 35, without)])
    split = recae.fixed_split if make is tables else recae.data.splits.fixed_folds
    with pytest.warns(RecaeWarning) as caught:
        made = split(**given)
    said = f"1 of .* test users.* have {how} the .* 35, the 1[12] items of 999"
    assert sum(bool(re.match(said, str(warning.message))) for warning in caught) == 1
    sort = "twins" if how == "exactly" else "near twins"
    with pytest.warns(RecaeWarning):
        assert recae.check_split(made)[f"test users with {sort} in train"] == 1


def test_a_copy_of_the_history_alone_is_a_near_twin() -> None:
    # 20 % of 12 interactions are 2: the history is 10 of them, a similarity of 0.83.
    given = strong()
    rows = given["test_history"][given["test_history"]["user_id"] == 35]
    more = given["test_target"][given["test_target"]["user_id"] == 35].head(1)
    given["train"] = pd.concat([given["train"], rows.assign(user_id=999), more.assign(user_id=999)])
    with pytest.warns(RecaeWarning, match="1 of 10 test users .* nearly "):
        recae.data.splits.fixed_folds(**given)


def test_near_twins_are_those_of_the_slow_definition() -> None:
    rng = np.random.default_rng(1)
    base = [set(rng.choice(500, 20, replace=False).tolist()) for _ in range(120)]
    rows = {user: set(items) for user, items in enumerate(base)}
    for user in range(60):  # some of them lose items, up to half
        lost = set(rng.permutation(sorted(base[user]))[: user % 11].tolist())
        rows[1000 + user] = base[user] - lost
    held_out = [user for user in rows if user >= 1000]
    trained = [user for user in rows if user < 1000]

    def similarity(one: int, two: int) -> float:
        return len(rows[one] & rows[two]) / len(rows[one] | rows[two])

    best = {one: max(similarity(one, two) for two in trained) for one in held_out}
    train = recae.Interactions.from_frame(frame(trained, [rows[user] for user in trained]))
    past = recae.Interactions.from_frame(frame(held_out, [rows[user] for user in held_out]))
    target = past.keep(np.zeros(past.nnz, dtype=bool))
    fold = Fold(past.with_items(train.items)[0], target.with_items(train.items)[0])
    with pytest.warns(RecaeWarning):
        counts = recae.check_split(Split(train, None, fold))
    assert counts["test users with twins in train"] == sum(s == 1 for s in best.values()) == 6
    near = sum(0.8 <= s < 1 for s in best.values())
    # MinHash finds 98 of 100 at the threshold and more above it; it never says too many.
    assert near - 1 <= counts["test users with near twins in train"] <= near


def test_short_histories_are_no_twins() -> None:
    given = strong()
    pairs = [(500, item) for item in range(4)]
    given["train"] = plus(given["train"], *pairs)
    given["test_history"] = plus(given["test_history"], *[(501, item) for _, item in pairs])
    recae.data.splits.fixed_folds(**given)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_repeated_row_is_refused(name: str) -> None:
    given = tables()
    given[name] = plus(given[name], first(given[name]))
    with pytest.raises(DataError, match=f"{name} table: 1 .*repeat"):
        recae.fixed_split(**given)
    known = recae.Interactions.from_frame(given[name])  # the caller has chosen: the last counts
    recae.fixed_split(**given | {name: known})


@pytest.mark.parametrize(("ours", "theirs"), [("q5", " q5"), ("q5", "q5\t"), ("7", "07")])
def test_ids_in_another_spelling_are_refused(ours: str, theirs: str) -> None:
    given = {name: rows.replace("u35", ours) for name, rows in tables(text=True).items()}
    given["test"] = given["test"].replace(ours, theirs)
    with pytest.raises(DataError, match="1 user ids .* test .*look like .*same way"):
        recae.fixed_split(**given)
    for make, split in ((tables, recae.fixed_split), (strong, recae.data.splits.fixed_folds)):
        part = "test" if make is tables else "test_target"
        given = make(text=True)
        item = given[part]["item_id"].iloc[0]
        given = {name: rows.replace(item, ours) for name, rows in given.items()}
        given[part] = given[part].replace(ours, theirs)
        with pytest.raises(DataError, match="1 item ids .* test .*look like .*same way"):
            split(**given)


def test_ids_that_differ_in_case_are_reported() -> None:
    given = strong(text=True)
    given["test_history"] = given["test_history"].replace("u35", "U3")
    given["test_target"] = given["test_target"].replace("u35", "U3")
    with pytest.warns(RecaeWarning, match="'U3' and 'u3'.*same case"):
        recae.data.splits.fixed_folds(**given)


@pytest.mark.parametrize("column", COLUMNS)
def test_numbers_in_one_table_and_text_in_another_are_refused(column: str) -> None:
    given = tables()
    given["test"] = given["test"].astype({column: str})
    what = column.removesuffix("_id")
    with pytest.raises(DataError, match=f"test table: {what} ids .*text.*cast"):
        recae.fixed_split(**given)


def test_users_of_whom_training_knows_nothing_are_counted() -> None:
    given = tables()
    given["test"] = plus(given["test"], (77, 3), (78, 4))
    with pytest.warns(RecaeWarning, match=r"2 of 42 test users .* no .*train \(77"):
        split = recae.fixed_split(**given)
    with pytest.warns(RecaeWarning):
        assert recae.check_split(split)["test users not in train"] == 2


def test_training_users_without_interactions_are_not_trained_on() -> None:
    split = recae.data.splits.fixed_folds(**strong())
    assert split.test is not None
    wider = split.train.with_users(split.train.users.union(split.test.history.users))
    counts = recae.check_split(Split(wider, split.validation, split.test))
    assert counts["test users in train"] == 0


def test_unknown_options_are_refused() -> None:
    split = recae.fixed_split(**tables())
    with pytest.raises(ConfigError, match="unknown overlap 'drop'.*keep, raise"):
        recae.check_split(split, overlap="drop")
    with pytest.raises(ConfigError, match="unknown overlap 'dorp'.* mean 'drop'"):
        recae.fixed_split(**tables(), overlap="dorp")
    with pytest.raises(ConfigError, match="unknown generalization 'string'.* mean 'strong"):
        recae.check_split(split, generalization="string")


def test_a_split_without_folds_has_nothing_to_leak() -> None:
    train = recae.Interactions.from_frame(tables()["train"])
    assert recae.check_split(Split(train, None, None)) == {}
