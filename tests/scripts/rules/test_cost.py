"""The times of rules for one user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recae
from evaluation.kit.planted import planted
from evaluation.rules import cost


def test_every_rule_is_timed_beside_none(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planted(400)
    model = recae.PureSVD(latent=4).fit(data)
    asked: list[Any] = []
    answer = recae.PureSVD.recommend_ids

    def recommend_ids(self: Any, history: list[Any], k: int, *, rules: Any) -> Any:
        asked.append(rules)
        return answer(self, history, k, rules=rules)

    monkeypatch.setattr(recae.PureSVD, "recommend_ids", recommend_ids)
    rules = cost.rules_of(data.items.ids)
    rows = cost.timed(model, [[1, 2, 3]], rules, 2)
    assert [row["rules"] for row in rows] == [*rules] and rows[0]["rules"] == "no rules"
    assert rows[0]["more"] == 0 and all(row["ms p99"] >= row["ms p50"] > 0 for row in rows)
    assert {id(some) for some in asked} == {id(some) for some in rules.values()}
    fields = {name for some in rules.values() if some for name in some.to_json()}
    assert {"allow", "block", "boosts", "half_life", "min_score", "include"} <= fields
    assert {"at_most", "diversity", "method", "explore"} <= fields


def test_the_facts_are_of_all_items() -> None:
    table = cost.facts(np.arange(50))
    names, which = table.categories(recae.data.IdMap.range(50), "genres", separator="|")
    assert len(names) <= 18 and {*np.diff(which.tocsr().indptr)} <= {1, 2, 3}
