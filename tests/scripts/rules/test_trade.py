"""The table of what variety costs, on the bundled films."""

from __future__ import annotations

import pytest

import recae
from evaluation.rules.trade import measured


def test_variety_is_bought_with_ndcg() -> None:
    films = recae.load_dataset()
    liked = films.interactions.filter(min_weight=3.5, min_per_user=5, min_per_item=5, binarise=True)
    split = recae.StrongGeneralization(held_out=0.2).split(liked)
    model = recae.PureSVD(latent=16).fit(split.train)
    rows = measured(
        model, split, films.items.reset_index()[["item_id", "genres"]], weights=(0.0, 0.5)
    )
    plain, same, genres, _, vectors, _, calibrated = rows
    own = recae.evaluate(model, split.test, ["ndcg@20"], progress=False)["ndcg@20"]
    assert plain["ndcg@20"] == pytest.approx(own, abs=1e-4)
    assert {row["rules"] for row in rows} == {
        "no rules",
        "mmr, genres",
        "mmr, the model's",
        "calibrated",
    }
    assert {**same, "seconds": 0} == {**plain, "rules": "mmr, genres", "seconds": 0}
    assert genres["diversity@20"] > plain["diversity@20"] + 0.05
    assert calibrated["miscalibration@20"] < plain["miscalibration@20"] - 0.02
    assert vectors["coverage@20"] != plain["coverage@20"]
    for row in (genres, vectors, calibrated):
        share = 1 - row["ndcg@20"] / plain["ndcg@20"]
        assert row["ndcg lost"] == pytest.approx(share, abs=2e-3)
