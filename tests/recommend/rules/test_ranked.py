"""Lists under rules, beside a plain Python reading of them, and the laws that all must keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recae
from recae import ConfigError, Interactions, RecaeWarning, Rules
from recae.data import ItemTable

N_USERS, N_ITEMS, KINDS = 40, 60, "ABCDE"
RNG = np.random.default_rng(5)
LOG = pd.DataFrame(
    {"user_id": RNG.integers(0, N_USERS, 700), "item_id": RNG.integers(100, 100 + N_ITEMS, 700)}
).drop_duplicates()
DATA = Interactions.from_frame(LOG)
GENRES = {
    item: sorted(RNG.choice(list(KINDS), RNG.integers(1, 4), replace=False).tolist())
    for item in range(100, 100 + N_ITEMS)
}
DAYS = {item: int(RNG.integers(0, 900)) for item in GENRES}
TABLE = ItemTable(
    pd.DataFrame(
        {
            "item_id": list(GENRES),
            "genres": ["|".join(kinds) for kinds in GENRES.values()],
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(list(DAYS.values()), "D"),
        }
    )
)
MODEL = recae.PureSVD(latent=6).fit(DATA)
SCORES = MODEL.score(DATA)
IDS = MODEL.items_.ids.tolist()
SEEN = {user: set(group["item_id"]) for user, group in LOG.groupby("user_id")}
ROW_OF = {user: row for row, user in enumerate(DATA.users.ids.tolist())}


def lists(rules: Rules | None, k: int = 8, **options: Any) -> dict[int, list[int]]:
    """The item ids of each user's list."""
    top = MODEL.recommend_array(DATA, k, rules=rules, **options)
    assert top.users is not None
    found = {}
    for user, items, scores in zip(top.users.tolist(), top.items, top.scores, strict=True):
        assert ((items >= 0) == np.isfinite(scores)).all()
        assert (np.diff((items < 0).astype(int)) >= 0).all()  # no gaps
        found[user] = [IDS[item] for item in items if item >= 0]
    return found


def best(user: int, worth: Any = None) -> list[int]:
    """The unseen items of a user from the best on."""
    row = SCORES[ROW_OF[user]] if worth is None else worth
    order = np.argsort(-row, kind="stable")
    return [IDS[item] for item in order if IDS[item] not in SEEN[user]]


def test_no_rules_give_the_same_bits() -> None:
    usual, same = MODEL.recommend_array(DATA, 8), MODEL.recommend_array(DATA, 8, rules=Rules())
    assert np.array_equal(usual.items, same.items) and np.array_equal(usual.scores, same.scores)
    assert same.notes == ()


def test_allow_and_block_for_everybody_and_for_single_users() -> None:
    found = lists(Rules(allow=[100, 101, 102, 5], block=[101]))
    assert all(set(items) <= {100, 102} for items in found.values())
    top = MODEL.recommend_array(DATA, 3, rules=Rules(allow=[100, 5, 6], block=[7, 101]))
    assert {"rule": "allow", "unknown": 2} in top.notes
    assert {"rule": "block", "unknown": 1} in top.notes
    first = min(SEEN)
    for block in ({first: best(first)[:2]}, {str(first): best(first)[:2]}):
        found = lists(Rules(block=block))
        assert found == {u: best(u)[2:10] if u == first else best(u)[:8] for u in SEEN}
    allowed = best(first)[3:5]
    found = lists(Rules(allow={first: allowed}))
    assert found == {u: allowed if u == first else best(u)[:8] for u in SEEN}


def test_boosts_and_freshness_stretch_the_distance_from_the_lowest_score() -> None:
    item = IDS[7]
    found = lists(Rules(boosts={item: 3.0, IDS[8]: 0.0}))
    aged = lists(Rules(half_life=200, table=TABLE, now="2027-01-01"))
    last = (pd.Timestamp("2027-01-01") - pd.Timestamp("2024-01-01")).days
    for user in SEEN:
        row = SCORES[ROW_OF[user]].astype(np.float64)
        low = row.min()
        boosted = row.copy()
        boosted[7], boosted[8] = low + 3 * (row[7] - low), low
        assert found[user] == best(user, boosted.astype(np.float32))[:8]
        ages = np.array([last - DAYS[item] for item in IDS])
        older = low + (row - low) * 0.5 ** (ages / 200)
        wanted = best(user, older.astype(np.float32))[:8]
        assert aged[user] == wanted or len(set(aged[user]) & set(wanted)) >= 7  # rounding of ties


def test_a_minimum_score_shortens_lists_and_says_so() -> None:
    least = float(np.median(SCORES))
    found = lists(Rules(min_score=least))
    wanted = {
        user: [i for i in best(user) if SCORES[ROW_OF[user], IDS.index(i)] >= least][:8]
        for user in SEEN
    }
    assert found == wanted
    short = sum(len(items) < 8 for items in wanted.values())
    top = MODEL.recommend_array(DATA, 8, rules=Rules(min_score=least))
    assert ({"rule": "min_score", "short": short} in top.notes) == (short > 0)
    with pytest.warns(RecaeWarning, match="min_score"):
        frame = MODEL.recommend(k=8, rules=Rules(min_score=1e6))
    assert len(frame) == 0 and frame.attrs["notes"][0]["rule"] == "min_score"


def test_included_items_take_their_places_unless_seen_or_blocked() -> None:
    wanted = {IDS[3]: 2, IDS[4]: 5, IDS[5]: 7, 999: 1, IDS[6]: 100}
    rules = Rules(include=wanted, block=[IDS[5]])
    found = lists(rules)
    for user, items in found.items():
        rest = [i for i in best(user) if i != IDS[5]]
        for item in (IDS[3], IDS[4]):
            if item in SEEN[user]:
                assert item not in items
            else:
                assert items[wanted[item] - 1] == item
                rest.remove(item)
        assert [i for i in items if i not in (IDS[3], IDS[4])] == rest[: len(items)][
            : len([i for i in items if i not in (IDS[3], IDS[4])])
        ]
    notes = {note["rule"]: note for note in MODEL.recommend_array(DATA, 8, rules=rules).notes}
    refused = sum(IDS[3] in SEEN[u] for u in SEEN) + sum(IDS[4] in SEEN[u] for u in SEEN)
    assert notes["include"] == {
        "rule": "include",
        "unknown": 1,
        "beyond_k": 1,
        "refused": refused + len(SEEN),
    }
    late = lists(Rules(include={IDS[3]: 8}, allow=IDS[:5]))  # in the last place of shorter lists
    assert all(items[-1] == IDS[3] for u, items in late.items() if IDS[3] not in SEEN[u])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_at_most_so_many_of_a_category(most: int) -> None:
    found = lists(Rules(at_most=most, category="genres", table=TABLE, pool=5))
    for user, items in found.items():
        counts: dict[str, int] = {}
        wanted = []
        for item in best(user):
            if len(wanted) < 8 and all(counts.get(kind, 0) < most for kind in GENRES[item]):
                wanted.append(item)
                for kind in GENRES[item]:
                    counts[kind] = counts.get(kind, 0) + 1
        assert items == wanted


def scaled(user: int, pool: list[int]) -> dict[int, float]:
    row = {item: float(SCORES[ROW_OF[user], IDS.index(item)]) for item in pool}
    low, high = min(row.values()), max(row.values())
    return {item: (score - low) / (high - low) for item, score in row.items()}


def greedy(user: int, weight: float, penalty: Any, size: int = 20, k: int = 8) -> list[int]:
    pool = best(user)[:size]
    worth, chosen = scaled(user, pool), list[int]()
    while len(chosen) < min(k, len(pool)):
        rest = [item for item in pool if item not in chosen]
        value = [(1 - weight) * worth[i] - weight * penalty(user, chosen, i) for i in rest]
        chosen.append(rest[int(np.argmax(np.round(value, 9)))])
    return chosen


def of_kinds(user: int, chosen: list[int], item: int) -> float:
    mine = set(GENRES[item])
    return max(
        (len(mine & set(GENRES[c])) / math.sqrt(len(mine) * len(GENRES[c])) for c in chosen),
        default=0,
    )


UNIT = MODEL.item_embeddings_ / np.linalg.norm(MODEL.item_embeddings_, axis=1, keepdims=True)


def of_vectors(user: int, chosen: list[int], item: int) -> float:
    mine = UNIT[IDS.index(item)]
    return max((float(mine @ UNIT[IDS.index(c)]) for c in chosen), default=0)


def shares(items: list[int]) -> dict[str, float]:
    found = dict.fromkeys(KINDS, 0.0)
    for item in items:
        for kind in GENRES[item]:
            found[kind] += 1 / len(GENRES[item]) / len(items)
    return found


def divergence(user: int, chosen: list[int], item: int) -> float:
    p, q = shares(sorted(SEEN[user])), shares([*chosen, item])
    return sum(
        p[kind] * math.log(p[kind] / (0.99 * q[kind] + 0.01 * p[kind])) for kind in KINDS if p[kind]
    )


@pytest.mark.parametrize("weight", [0.2, 0.6])
@pytest.mark.parametrize(
    ("penalty", "options"),
    [
        (of_kinds, {"category": "genres", "table": TABLE}),
        (of_vectors, {}),
        (divergence, {"method": "calibrated", "category": "genres", "table": TABLE}),
    ],
)
def test_diversity_is_the_greedy_choice_of_the_papers(
    penalty: Any, options: Any, weight: float
) -> None:
    found = lists(Rules(diversity=weight, pool=20, **options))
    equal = [found[user] == greedy(user, weight, penalty) for user in SEEN]
    assert np.mean(equal) > 0.9  # exact ties are rounded either way
    assert all(found[user][0] == greedy(user, weight, penalty)[0] for user in SEEN)


@pytest.mark.parametrize(
    "model", [recae.EASE(l2=2.0), recae.ItemKNN(neighbours=15), recae.UserKNN()]
)
def test_without_embeddings_items_are_as_alike_as_similar_items_says(model: Any) -> None:
    model.fit(DATA)
    alike = model.similar_items(IDS, N_ITEMS)
    rows = {
        item: dict(zip(part["similar_item_id"], part["score"], strict=True))
        for item, part in alike.groupby("item_id")
    }
    users = DATA.users.ids[:12].tolist()
    scores = model.score(DATA)
    agreed = []
    for weight in (0.3, 1.0):
        rules = Rules(diversity=weight, pool=20)
        top = model.recommend(users, 6, rules=rules)
        for user in users:
            row = scores[ROW_OF[user]]
            pool = [i for i in best(user, row) if np.isfinite(row[IDS.index(i)])][:20]
            own = row[[IDS.index(i) for i in pool]].astype(float)
            worth = dict(zip(pool, (own - own.min()) / (own.max() - own.min()), strict=True))
            chosen: list[int] = []
            while len(chosen) < min(6, len(pool)):
                penalty = {
                    i: max(
                        (rows[c].get(i, 0) / max(map(abs, rows[c].values())) for c in chosen),
                        default=0,
                    )
                    for i in pool
                }
                rest = [i for i in pool if i not in chosen]
                value = [(1 - weight) * worth[i] - weight * penalty[i] for i in rest]
                chosen.append(rest[int(np.argmax(np.round(value, 7)))])
            found = top.loc[top["user_id"] == user, "item_id"].tolist()
            agreed.append(found == chosen)
            history = sorted(SEEN[user])
            assert model.recommend_ids(history, 6, rules=rules)[0] == found
    assert np.mean(agreed) > 0.9  # exact ties are rounded either way


def test_exploration_is_drawn_for_each_user_whatever_the_batch() -> None:
    rules = Rules(explore=0.5, seed=3, pool=30)
    found = lists(rules)
    assert found == lists(rules, batch_size=7) and found != lists(
        Rules(explore=0.5, seed=4, pool=30)
    )
    one = MODEL.recommend(5, k=8, rules=rules)["item_id"].tolist()
    assert one == found[5]
    usual = np.mean([i in best(u)[:8] for u, items in found.items() for i in items])
    assert 0.5 < usual < 0.8  # half of the places, and some draws are of the best
    everything = lists(Rules(explore=1.0, pool=30))
    assert all(set(items) <= set(best(u)[:30]) for u, items in everything.items())


@pytest.mark.parametrize(
    "options",
    [
        {"block": IDS[:20], "min_score": 0.0},
        {"include": {IDS[3]: 2}, "boosts": {IDS[4]: 2.0}, "half_life": 100, "table": TABLE},
        {"at_most": 2, "diversity": 0.4, "category": "genres", "table": TABLE},
        {"diversity": 0.4, "method": "calibrated", "category": "genres", "table": TABLE},
        {"explore": 0.5, "seed": 2},
    ],
)
def test_one_user_gets_the_list_of_everybody(options: dict[str, Any]) -> None:
    rules = Rules(**options)
    for seen in (True, False):
        found = lists(rules, exclude_seen=seen)
        for user in list(SEEN)[:10]:
            answer = MODEL.recommend_ids(sorted(SEEN[user]), 8, exclude_seen=seen, rules=rules)
            assert answer[0] == found[user]


ITEMS = st.sampled_from([*IDS, 7, 8])


@st.composite
def some_rules(draw: Any) -> Rules:
    def may(strategy: Any) -> Any:
        return draw(st.none() | strategy)

    places = draw(st.lists(st.integers(1, 12), unique=True, max_size=4))
    include = dict(zip(draw(st.permutations(IDS))[: len(places)], places, strict=True))
    return Rules(
        allow=may(st.lists(ITEMS, min_size=20) | st.just({3: IDS[:4]})),
        block=may(st.lists(ITEMS, max_size=30) | st.just({0: IDS[:30], 3: [7]})),
        boosts=may(st.dictionaries(ITEMS, st.floats(0, 5), max_size=5)),
        half_life=may(st.floats(1, 1000)),
        min_score=may(st.floats(-0.1, 0.5)),
        include=include,
        at_most=may(st.integers(1, 5)),
        diversity=draw(st.sampled_from([0.0, 0.4, 1.0])),
        method=draw(st.sampled_from(["mmr", "calibrated"])),
        explore=draw(st.sampled_from([0.0, 0.3, 1.0])),
        pool=draw(st.sampled_from([1, 10, 100])),
        category="genres",
        table=TABLE,
    )


@settings(max_examples=40, deadline=None)
@given(some_rules(), st.integers(1, 70), st.booleans())
@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")
def test_no_rules_yield_blocked_seen_or_repeated_items(rules: Rules, k: int, seen: bool) -> None:
    found = lists(rules, k, exclude_seen=seen)
    for user, items in found.items():
        assert len(set(items)) == len(items) <= k
        assert not (seen and set(items) & SEEN[user])
        block = rules.block or []
        hidden = set(block.get(user, [])) if isinstance(block, dict) else set(block)
        assert not hidden & set(items)
        allow = rules.allow
        allowed = allow.get(user) if isinstance(allow, dict) else allow
        assert allowed is None or set(items) <= set(allowed)
    if k <= 12:
        assert lists(rules, k, exclude_seen=seen, batch_size=9) == found


def test_an_export_obeys_rules_and_resumes_only_with_the_same(tmp_path: Any) -> None:
    rules = Rules(at_most=2, category="genres", table=TABLE, include={IDS[3]: 1})
    with pytest.warns(RecaeWarning, match="at_most"):
        MODEL.export(tmp_path / "top.parquet", DATA, k=8, rules=rules, batch_size=9)
    frame = pd.read_parquet(tmp_path / "top.parquet")
    found = {u: g.sort_values("rank")["item_id"].tolist() for u, g in frame.groupby("user_id")}
    assert found == {u: items for u, items in lists(rules).items() if items}
    ruled = MODEL._ruled(None, DATA, "raise", None, None, True, "ignore", rules)
    other = Rules(at_most=2, category="genres", table=TABLE, include={IDS[4]: 1})
    others = MODEL._ruled(None, DATA, "raise", None, None, True, "ignore", other)
    assert ruled.identity() != others.identity()


def test_strangers_are_given_popular_items_under_the_same_rules() -> None:
    rules = Rules(block=[IDS[0]], boosts={IDS[9]: 50.0})
    top = MODEL.recommend_array({77: []}, 5, on_unknown="popular", rules=rules)
    counts = LOG.groupby("item_id")["user_id"].nunique().reindex(IDS).to_numpy(dtype=float)
    low = counts.min()
    counts[9] = low + 50 * (counts[9] - low)
    order = [item for item in np.argsort(-counts, kind="stable") if item != 0]
    assert top.items[0].tolist() == order[:5]


def test_similarity_needs_something_to_compare() -> None:
    with pytest.raises(ConfigError) as error:
        recae.Popularity().fit(DATA).recommend(rules=Rules(diversity=0.5))
    assert error.value.parameter == "category"
    with pytest.raises(ConfigError) as error:
        MODEL.recommend(rules={"min_score": 1})  # type: ignore[arg-type]
    assert error.value.parameter == "rules"


def test_the_columns_of_a_table_are_prepared_once_for_each_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, made = ItemTable(TABLE.columns.assign(item_id=TABLE.ids)), []
    categories = ItemTable.categories

    def counted(self: Any, ids: Any, *args: Any, **options: Any) -> Any:
        made.append(len(ids))
        return categories(self, ids, *args, **options)

    monkeypatch.setattr(ItemTable, "categories", counted)
    rules = Rules(at_most=1, category="genres", table=table)
    other = recae.Popularity().fit(LOG[LOG["item_id"] < 130])
    for _ in range(3):
        for model in (MODEL, other):
            assert model.recommend_ids([101, 102], 3, rules=rules)[0]
    assert made == [len(MODEL.items_), len(other.items_)]
