"""The benchmark of evaluating: its data, its sums, and what it reads off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluation import evaluation_cost as cost


def test_the_synthetic_users_have_histories_and_other_targets() -> None:
    history, target = cost.synthetic(2000, 3000)
    assert history.shape == target.shape == (2000, 3000)
    assert history.multiply(target).nnz == 0
    assert set(history.data) == set(target.data) == {1}
    lengths, hidden = (np.diff(part.indptr) for part in (history, target))
    assert 35 < lengths.mean() < 65 and lengths.min() >= 1
    assert 9 < hidden.mean() <= hidden.max() == 10 and hidden.min() >= 1
    popular = np.bincount(history.indices, minlength=3000)
    assert popular[:100].mean() > 5 * popular[-1000:].mean()  # a power law, the first on top
    again, _ = cost.synthetic(2000, 3000)
    assert (again != history).nnz == 0


def test_a_round_shares_its_seconds_out(tmp_path) -> None:
    threads = torch.get_num_threads()
    assert "300 users" in cost.prepare(tmp_path, 300, 200, 8)
    found = cost.measured(tmp_path, threads, None)
    assert 0 < found["scores_seconds"] <= found["scoring_seconds"] + 0.001
    parts = found["scoring_seconds"] + found["metric_seconds"]
    assert found["seconds"] == pytest.approx(parts, abs=0.002)
    assert found["whole_seconds"] >= found["seconds"] - 0.001 and found["above_start_gb"] >= 0
    assert set(found["metrics"]) == {"ndcg@100", "recall@20", "recall@50"}
    factors = np.load(tmp_path / "factors.npz")
    assert factors["users"].shape == (300, 8) and factors["items"].shape == (200, 8)


def test_medians_ratios_and_agreement_by_hand() -> None:
    def one(seconds: float, scores: float, recall: float = 0.25) -> dict[str, object]:
        metrics = {"recall@20": recall, "recall@50": 0.5, "ndcg@100": 0.3}
        return {
            "seconds": seconds,
            "whole_seconds": seconds,
            "scores_seconds": scores,
            "metrics": metrics,
        }

    rounds = {
        "recae": [one(2, 1), one(4, 2), one(3, 1)],
        "RecBole": [one(6, 2), one(8, 2), one(30, 3)],  # 3, 2 and 10 times; without 4, 3 and 13.5
    }
    assert cost.middle(rounds["recae"])["seconds"] == 3
    assert cost.ratios(rounds) == {"RecBole": 3, "RecBole, without forming scores": 4}
    costs = {who: cost.middle(some) for who, some in rounds.items()}
    assert cost.agree(costs)
    assert not cost.agree(costs | {"RecBole": one(1, 1, recall=0.2502)})
