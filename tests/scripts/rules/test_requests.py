"""The laws of lists under rules find what is wrong, and random requests keep them."""

from __future__ import annotations

from typing import Any

import pytest

import recae
from evaluation.rules.laws import World, broken, expected_scores, make_world
from evaluation.rules.requests import ask

USER, K = 3, 5


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(recae.PureSVD(latent=8))


def best(world: World) -> list[int]:
    """The unseen items of the user, the highest score first."""
    scores = world.scores[USER]
    unseen = [item for item in scores if item not in world.histories[USER]]
    return sorted(unseen, key=lambda item: -scores[item])


def laws_of(world: World, options: dict[str, Any], ids: list[int]) -> list[str]:
    scores = expected_scores(options, world, USER)[0]
    return broken(options, world, USER, K, True, ids, [scores.get(item, 0.0) for item in ids])


def test_the_best_items_break_no_law(world: World) -> None:
    assert laws_of(world, {}, best(world)[:K]) == []


def test_each_law_is_seen_to_be_broken(world: World) -> None:
    top = best(world)
    five, scores = top[:K], world.scores[USER]
    seen = [*world.histories[USER]][0]
    assert "repeated" in laws_of(world, {}, [*five[:4], five[0]])
    assert "seen" in laws_of(world, {}, [seen, *five[:4]])
    assert laws_of(world, {"block": [five[2]]}, five) == ["blocked", "allow"]
    assert "blocked" in laws_of(world, {"block": {USER: [five[2]]}}, five)
    assert laws_of(world, {"block": {USER + 1: [five[2]]}}, five) == []
    assert "allow" in laws_of(world, {"allow": five[:4]}, five)
    assert "length" in laws_of(world, {}, top[: K + 1])
    assert laws_of(world, {}, five[:4]) == ["fewer than there are"]
    assert laws_of(world, {}, five[::-1]) == ["order"]
    between = (scores[five[2]] + scores[five[3]]) / 2
    assert laws_of(world, {"min_score": between}, five) == ["min_score"]
    assert laws_of(world, {"min_score": between}, five[:3]) == []
    assert laws_of(world, {"include": {top[9]: 2}}, five) == ["include"]
    assert laws_of(world, {"include": {top[9]: 2}}, [five[0], top[9], *five[1:4]]) == []
    assert laws_of(world, {"include": {top[9]: 2}}, [top[9], *five[:4]]) == ["include"]
    assert laws_of(world, {"include": {seen: 2}}, five) == []
    boosted = {"boosts": {five[4]: 3.0}}
    assert broken(boosted, world, USER, K, True, five, [scores[i] for i in five]) == ["scores"]
    both = [item for item in top if "A" in world.categories[item]][:2]
    rest = [item for item in top if not world.categories[item] & {"A"}][:3]
    found = laws_of(world, {"at_most": 1, "category": "genres"}, [*both, *rest])
    assert "at_most" in found


def test_random_requests_break_no_law(world: World) -> None:
    found = ask([world, make_world(recae.EASE(l2=10.0), n_users=30, seed=1)], 500, seed=7)
    assert found["first"] is None
    assert found["laws broken"] == {} and found["lists"] >= 500
    assert found["shorter than k"] > 50  # the worlds are small enough that rules bite
    assert len(found["rules on"]) == 10
