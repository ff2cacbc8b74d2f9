"""Splits whose users are known: published tables, and pairs hidden from every user."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import Interactions
from recae.data.splits import RandomSplit, fixed_split, holdout_pairs, repeated
from recae.errors import ConfigError, DataError, RecaeWarning


def random_frame(seed, users=60, items=40, n=600):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"user_id": generator.integers(0, users, n) * 7, "item_id": generator.integers(0, items, n)}
    ).drop_duplicates()
    return frame.sample(frac=1, random_state=seed)


def pairs(data):
    return set(data.to_frame()[["user_id", "item_id"]].itertuples(index=False, name=None))


def data(*records):
    return Interactions.from_frame(pd.DataFrame(records, columns=["user_id", "item_id"]))


TRAIN = data((1, "a"), (1, "b"), (2, "a"))
VALIDATION = data((1, "c"))
TEST = data((1, "d"), (3, "a"))
pytestmark = pytest.mark.filterwarnings(
    r"ignore:1 of 2 test users have no interactions in train \(3\):recae.RecaeWarning"
)


def test_fixed_splits_keep_every_table_whole():
    split = fixed_split(TRAIN, validation=VALIDATION, test=TEST)
    assert split.train.users.ids.tolist() == [1, 2, 3]
    assert split.train.items.ids.tolist() == ["a", "b", "c", "d"]
    assert pairs(split.train) == {(1, "a"), (1, "b"), (2, "a")}
    assert split.validation.target.users.ids.tolist() == [1]
    assert pairs(split.validation.history) == {(1, "a"), (1, "b")}
    assert pairs(split.validation.target) == {(1, "c")}
    assert split.test.target.users.ids.tolist() == [1, 3]
    assert pairs(split.test.history) == {(1, "a"), (1, "b"), (1, "c")}
    assert pairs(split.test.target) == {(1, "d"), (3, "a")}
    assert split.test.mask is None and split.left_out == 0


def test_history_and_mask_of_a_fixed_split_are_chosen_apart():
    def test_fold(**options):
        return fixed_split(TRAIN, validation=VALIDATION, test=TEST, **options).test

    bare = test_fold(history="train")
    assert pairs(bare.history) == {(1, "a"), (1, "b")} and bare.mask is None
    masked = test_fold(history="train", mask="train+validation")
    assert pairs(masked.history) == {(1, "a"), (1, "b")}
    assert pairs(masked.mask) == {(1, "a"), (1, "b"), (1, "c")}
    with pytest.raises(ConfigError, match="unknown history 'all'"):
        test_fold(history="all")
    with pytest.raises(ConfigError, match="unknown mask 'none'"):
        test_fold(mask="none")


def test_history_and_mask_of_a_random_split_are_chosen_apart():
    whole = data(*((user, item) for user in range(9) for item in range(10)))
    split = RandomSplit(0.2, 0.2, history="train", mask="train+validation").split(whole, seed=1)
    assert pairs(split.test.history) == pairs(split.train) == pairs(split.validation.history)
    assert pairs(split.test.mask) == pairs(split.train) | pairs(split.validation.target)
    both = RandomSplit(0.2, 0.2, mask="train").split(whole, seed=1).test
    assert pairs(both.history) == pairs(split.test.mask) and pairs(both.mask) == pairs(split.train)
    with pytest.raises(ConfigError, match="unknown mask 'none'"):
        RandomSplit(mask="none").split(whole)


def test_without_validation_the_history_is_the_training_part():
    split = fixed_split(TRAIN, test=TEST)
    assert split.validation is None and pairs(split.test.history) == {(1, "a"), (1, "b")}


def test_a_pair_in_train_and_validation_is_not_counted_twice():
    with pytest.warns(RecaeWarning, match="1 of 2 validation targets .* train"):
        split = fixed_split(TRAIN, validation=data((1, "a"), (1, "c")), test=TEST, overlap="keep")
    assert not split.test.history.weighted


def test_targets_that_are_masked_are_counted():
    with pytest.warns(RecaeWarning, match="1 of 2 test targets .* train .* 1 masked"):
        fixed_split(TRAIN, test=data((1, "a"), (1, "d")), overlap="keep")
    with pytest.warns(RecaeWarning, match="1 of 1 test targets .* validation targets"):
        fixed_split(TRAIN, validation=VALIDATION, test=VALIDATION, history="train", overlap="keep")


def test_times_stay_in_the_joined_history_if_both_tables_have_them():
    def timed(*records):
        frame = pd.DataFrame(records, columns=["user_id", "item_id", "timestamp"])
        return Interactions.from_frame(frame)

    train, validation, test = timed((1, "b", 1)), timed((1, "a", 2)), timed((1, "c", 3))
    joined = fixed_split(train, validation=validation, test=test).test.history
    assert joined.times.tolist() == [1, 2]  # columns b, a: those of train first
    joined = fixed_split(train, validation=data((1, "a")), test=test).test.history
    assert joined.times is None


@settings(max_examples=30, derandomize=True, database=None, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.29, 0.5, 0.9]))
def test_holdout_hides_the_stated_number_of_every_user(seed, share):
    whole = Interactions.from_frame(random_frame(seed % 5, users=20, n=150))
    split = holdout_pairs(whole, share, seed)
    assert pairs(split.train) | pairs(split.validation.target) == pairs(whole)
    assert split.train.nnz + split.validation.target.nnz == whole.nnz
    assert split.train.users == whole.users and split.train.items == whole.items
    counts = whole.to_frame().groupby("user_id").size()
    target = split.validation.target.to_frame().groupby("user_id").size()
    for user, n in counts.items():
        expected = 0 if n == 1 else min(max(1, int(round(share * n, 9))), n - 1)
        assert target.get(user, 0) == expected
    assert pairs(split.validation.history) <= pairs(split.train)
    assert split.test is None


def test_holdout_repeats_with_its_seed_and_not_with_the_order_of_rows():
    frame = random_frame(1)
    one = holdout_pairs(Interactions.from_frame(frame), seed=4)
    shuffled = Interactions.from_frame(frame.sample(frac=1, random_state=9))
    assert pairs(one.train) == pairs(holdout_pairs(shuffled, seed=4).train)
    assert pairs(one.train) != pairs(holdout_pairs(shuffled, seed=5).train)


def test_holdout_is_fair_to_every_position():
    # 2,000 users with the same 4 items, one hidden each: 500 of every item, and 4 standard
    # deviations are 4 * sqrt(2000 * 1/4 * 3/4) = 77.
    grid = pd.DataFrame({"user_id": np.repeat(range(2000), 4), "item_id": np.tile(range(4), 2000)})
    target = holdout_pairs(Interactions.from_frame(grid), 0.25).validation.target
    assert (np.abs(target.matrix.getnnz(axis=0) - 500) < 77).all()


def test_holdout_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match="share .*< 1, not 1"):
        holdout_pairs(TRAIN, 1)
    with pytest.raises(ConfigError, match="seed"):
        holdout_pairs(TRAIN, seed=-1)
    with pytest.raises(DataError, match="two interactions"):
        holdout_pairs(TEST)


def test_a_share_may_be_a_fraction():
    table, quarter = Interactions.from_frame(random_frame(0)), Fraction(1, 4)
    one, other = (RandomSplit(share, share).split(table) for share in (quarter, 0.25))
    assert pairs(one.test.target) == pairs(other.test.target)
    assert pairs(holdout_pairs(table, quarter).train) == pairs(holdout_pairs(table, 0.25).train)
    assert table.filter(min_weight=Fraction(1)).nnz == table.nnz


def test_a_count_beside_a_share_is_refused_with_both():
    with pytest.raises(ConfigError, match="validation=0.1 .*test=3") as error:
        RandomSplit(test=3).split(TRAIN)
    assert error.value.parameter == "validation"


@pytest.mark.parametrize("protocol", ["RandomSplit", RandomSplit])
def test_only_a_splitter_can_be_repeated(protocol):
    with pytest.raises(ConfigError) as error:
        repeated(protocol, TRAIN)
    assert error.value.parameter == "protocol"
