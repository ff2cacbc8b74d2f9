"""The k-core against peeling one by one, and a chain that takes as many rounds as it is long."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import Interactions
from recae.errors import ConfigError, DataError

PAIRS = st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=90)


def slow_core(pairs, per_user, per_item):
    left = set(pairs)
    while True:
        users, items = ([pair[side] for pair in left] for side in (0, 1))
        stay = {
            (user, item)
            for user, item in left
            if users.count(user) >= per_user and items.count(item) >= per_item
        }
        if stay == left:
            return left
        left = stay


@given(pairs=PAIRS, per_user=st.integers(1, 5), per_item=st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_the_core_is_that_of_peeling(pairs, per_user, per_item):
    data = Interactions.from_frame(pd.DataFrame(sorted(pairs), columns=["user_id", "item_id"]))
    expected = slow_core(pairs, per_user, per_item)
    if not expected:
        with pytest.raises(DataError, match=f"min_per_user={per_user} and min_per_item={per_item}"):
            data.k_core(per_user, per_item)
        return
    core = data.k_core(per_user, per_item)
    frame = core.to_frame()[["user_id", "item_id"]]
    assert set(frame.itertuples(index=False, name=None)) == expected
    assert core.k_core(per_user, per_item).fingerprint() == core.fingerprint()


def test_a_long_chain_is_peeled_from_its_end():
    # User i has items i and i + 1: the ends go one by one, and a square far away stays.
    chain = np.arange(20_000)
    users = np.concatenate([chain, chain, [10**6, 10**6, 10**6 + 1, 10**6 + 1]])
    items = np.concatenate([chain, chain + 1, [10**6, 10**6 + 1] * 2])
    times = np.arange(len(users))
    frame = pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times})
    core = Interactions.from_frame(frame).k_core(2, 2)
    assert core.users.ids.tolist() == core.items.ids.tolist() == [10**6, 10**6 + 1]
    assert core.times.tolist() == times[-4:].tolist()


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_counts_are_integers_from_1(bad):
    data = Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": [2]}))
    with pytest.raises(ConfigError, match=f"min_per_user .* {bad}"):
        data.k_core(bad, 1)
    with pytest.raises(ConfigError, match=f"min_per_item .* {bad}"):
        data.k_core(1, bad)
