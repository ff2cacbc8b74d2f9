"""Laws of lists under any rules: found by hypothesis, checked by plain Python over ids."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recae
from evaluation.rules.laws import GENRES, NOW, broken, make_world

WORLDS = [
    make_world(recae.PureSVD(latent=4), n_users=12, n_items=24),
    make_world(recae.Popularity(), n_users=8, n_items=15, seed=2),
]
USERS = range(5)


def thresholds(scores: dict[int, float]) -> list[float]:
    """Numbers beside the scores of a user: at a score itself, rounding of a batch would decide."""
    found = [*scores.values()]
    return [score + 1e-3 * (max(found) - min(found)) for score in found]


@st.composite
def requests(draw: Any) -> tuple[int, int, bool, dict[str, Any]]:
    """World, k, exclude_seen, and the fields of rules."""
    place = draw(st.integers(0, len(WORLDS) - 1))
    known = [*WORLDS[place].categories]
    items = st.sampled_from([*known, 10_001])
    ids = st.lists(items, max_size=len(known))
    lists = st.one_of(ids, st.dictionaries(st.sampled_from(USERS), ids, max_size=4))
    k = draw(st.integers(1, 30))
    factors = st.sampled_from([0.0, 0.3, 1.0, 4.0])
    options: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"seed": st.integers(0, 5), "pool": st.integers(1, 30)},
            optional={
                "allow": lists,
                "block": lists,
                "boosts": st.dictionaries(items, factors, max_size=8),
                "half_life": st.sampled_from([1.0, 100.0, 3000.0]),
                "min_score": st.sampled_from(thresholds(WORLDS[place].scores[0])),
                "include": st.lists(items, max_size=5, unique=True),
                "at_most": st.integers(1, 3),
                "diversity": st.sampled_from([0.2, 0.7, 1.0]),
                "method": st.sampled_from(["mmr", "calibrated"]),
                "explore": st.sampled_from([0.1, 0.5, 1.0]),
            },
        )
    )
    if "include" in options:
        places = draw(st.permutations(range(1, len(options["include"]) + 4)))
        options["include"] = dict(zip(options["include"], places, strict=False))
    options |= {"category": "genres", "now": NOW.isoformat()}
    return place, k, draw(st.booleans()), options


@settings(max_examples=30)
@given(requests())
def test_no_rules_list_what_is_blocked_seen_or_repeated(
    request: tuple[int, int, bool, dict[str, Any]],
) -> None:
    place, k, exclude_seen, options = request
    world = WORLDS[place]
    rules = recae.Rules(**options, table=world.table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)
        frame = world.model.recommend([*USERS], k, exclude_seen=exclude_seen, rules=rules)
        alone = world.model.recommend(
            [*USERS], k, exclude_seen=exclude_seen, rules=rules, batch_size=1
        )
    pd.testing.assert_frame_equal(
        frame.drop(columns="score"), alone.drop(columns="score"), check_like=False
    )
    for user in USERS:
        part = frame[frame["user_id"] == user]
        ids, scores = part["item_id"].tolist(), part["score"].tolist()
        assert broken(options, world, user, k, exclude_seen, ids, scores) == []


@pytest.mark.parametrize("name", ["at_most", "include first"])
def test_included_items_count_for_their_categories(name: str) -> None:
    world = WORLDS[0]
    for genre in GENRES:
        some = [i for i, own in world.categories.items() if genre in own]
        last = {item: 10 - n for n, item in enumerate(some[:2])}
        options = {"at_most": 2, "category": "genres", "include": last}
        if name == "include first":
            options["include"] = {item: n + 1 for n, item in enumerate(some[:2])}
        top = world.model.recommend(
            [0], 10, exclude_seen=False, rules=recae.Rules(**options, table=world.table)
        )
        listed = [item for item in top["item_id"] if genre in world.categories[item]]
        assert len(some) < 2 or sorted(listed) == sorted(some[:2])


def test_an_empty_list_of_a_user_allows_nothing() -> None:
    world = WORLDS[0]
    for allow in ({0: []}, {0: [10_001]}, {0: [], 1: [10_001]}):
        with pytest.warns(recae.RecaeWarning):
            top = world.model.recommend([0, 2], 5, rules=recae.Rules(allow=allow))
        assert set(top["user_id"]) == {2}
    everybody = world.model.recommend([0, 2], 5, rules=recae.Rules(allow={}))
    pd.testing.assert_frame_equal(everybody, world.model.recommend([0, 2], 5))


@pytest.mark.parametrize("rule", ["allow", "block"])
def test_ids_that_are_none_are_named(rule: str) -> None:
    world = WORLDS[0]
    for ids in ("abc", 5):
        with pytest.raises(recae.ConfigError) as error:
            recae.Rules(**{rule: ids})
        assert error.value.parameter == rule
    for ids in (["a text"], [None], [1.5], {0: ["a text"]}):
        with pytest.raises(recae.DataError) as wrong:
            world.model.recommend([0], rules=recae.Rules(**{rule: ids}))
        assert wrong.value.parameter == rule
    for name, value in (("boosts", {"a text": 2.0}), ("include", {"a text": 1})):
        with pytest.raises(recae.DataError) as wrong:
            world.model.recommend([0], rules=recae.Rules(**{name: value}))
        assert wrong.value.parameter == name


def test_users_with_their_items_may_be_any_table_and_repeat_pairs() -> None:
    world = WORLDS[0]
    items = sorted(world.categories)[:3]
    pairs = pd.DataFrame({"user_id": [3, 3, 3, 4], "item_id": [items[i] for i in (0, 1, 0, 2)]})
    given = {3: items[:2], 4: items[2:]}
    for table in (pairs, pairs.assign(users="x"), recae.Interactions.from_frame(pairs[1:])):
        for rule in ("allow", "block"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", recae.RecaeWarning)
                expected = world.model.recommend([3, 4, 5], 5, rules=recae.Rules(**{rule: given}))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                top = world.model.recommend([3, 4, 5], 5, rules=recae.Rules(**{rule: table}))
            pd.testing.assert_frame_equal(top, expected)
            assert {*map(lambda one: one.category, caught)} <= {recae.RecaeWarning}
            assert len(caught) == (rule == "allow")  # two users get short lists


def test_lists_of_single_users_are_not_those_of_a_history_without_a_user() -> None:
    world = WORLDS[0]
    history, items = sorted(world.histories[3]), sorted(world.categories)
    plain = world.model.recommend_ids(history, 5)
    for block in ({0: items}, {"zero": items}, pd.DataFrame({"user_id": [0], "item_id": [7]})):
        assert world.model.recommend_ids(history, 5, rules=recae.Rules(block=block)) == plain
    with pytest.raises(recae.DataError) as wrong:
        recae.Rules(block=pd.DataFrame({"item_id": [7]})).of_user(1)
    assert wrong.value.parameter == "block"


def test_included_items_that_were_seen_are_counted_without_a_warning() -> None:
    world = WORLDS[0]
    seen = sorted(world.histories[3])[0]
    top = world.model.recommend([3], 5, rules=recae.Rules(include={seen: 1}))
    assert top.attrs["notes"] == [{"rule": "include", "refused": 1}]


def test_a_generator_of_ids_can_be_used_again() -> None:
    world = WORLDS[0]
    some = [*world.categories][:4]
    rules = recae.Rules(block=(item for item in some))
    for _ in range(2):
        assert not {*world.model.recommend([0], 5, rules=rules)["item_id"]} & {*some}


def test_boosts_of_one_user_are_measured_from_the_lowest_of_all_scores() -> None:
    world = WORLDS[0]
    items, history = sorted(world.categories)[:9], sorted(world.histories[3])
    rules = recae.Rules(boosts={item: 0.2 for item in items[::2]})
    top = world.model.recommend([3], 9, items=items, rules=rules, exclude_seen=False)
    ids, scores = world.model.recommend_ids(
        history, 9, items=items, rules=rules, exclude_seen=False
    )
    assert ids == top["item_id"].tolist()
    assert scores == pytest.approx(top["score"].tolist(), abs=1e-5)


def test_the_lists_of_one_user() -> None:
    world = WORLDS[0]
    items = sorted(world.categories)
    pairs = pd.DataFrame({"user_id": [3, 3, 4], "item_id": items[:3]})
    history = sorted(world.histories[3])
    for block in ({3: items[:2], 4: items[2:3]}, {"3": items[:2]}, pairs):
        rules = recae.Rules(block=block, allow={4: []}).of_user(3)
        assert sorted(rules.block) == items[:2] and rules.allow is None
        answer = world.model.recommend_ids(history, 5, rules=rules)
        assert answer[0] == world.model.recommend_ids(history, 5, exclude_items=items[:2])[0]
    for user in (5, None):
        assert recae.Rules(block=pairs).of_user(user).block is None
    assert recae.Rules(allow={4: []}).of_user(4).allow == []
    plain = recae.Rules(block=items[:1])
    assert plain.of_user(3) is plain
