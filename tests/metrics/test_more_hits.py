"""MAP over min(k, n), R-precision, RBP and F1: slow versions and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from recae import ConfigError
from recae.metrics import parse_metric
from recae.ranking.top_k import TopK


def lists_of(hits: list[int]) -> tuple[TopK, np.ndarray]:
    return TopK(np.arange(len(hits))[None], np.zeros((1, len(hits)), dtype=np.float32)), np.array(
        hits
    )


def value(name: str, hits: list[int], relevant: int) -> float:
    """The metric of a list with hits at these places, and further targets that it misses."""
    top, flags = lists_of(hits)
    beyond = relevant - int(flags.sum())
    row = np.concatenate([flags, np.ones(beyond)])
    return float(parse_metric(name)(top, sp.csr_matrix(row[None]))[0])


def test_map_over_the_smaller_of_k_and_the_targets() -> None:
    # RecBole's MAP@k: hits at 1 and 3 of three, five targets: (1/1 + 2/3) / min(3, 5).
    assert value("truncated_map@3", [1, 0, 1], 5) == pytest.approx((1 + 2 / 3) / 3)
    assert value("map@3", [1, 0, 1], 5) == pytest.approx((1 + 2 / 3) / 5)
    assert value("truncated_map@3", [1, 0, 1], 2) == pytest.approx((1 + 2 / 3) / 2)
    assert value("truncated_map@3", [1, 1, 1], 9) == 1


def test_r_precision() -> None:
    # Two targets: only the first two places count.
    assert value("r_precision@4", [1, 0, 1, 0], 2) == 0.5
    assert value("r_precision@4", [0, 0, 1, 1], 2) == 0
    # More targets than places: those beyond the list are misses.
    assert value("r_precision@2", [1, 1], 4) == 0.5


def test_rank_biased_precision() -> None:
    # Moffat & Zobel 2008, equation 4, by hand for p = 0.5: hits at 1, 2, 5 and 7 of eight.
    hits = [1, 1, 0, 0, 1, 0, 1, 0]
    by_hand = 0.5 * (1 + 0.5 + 0.5**4 + 0.5**6)
    assert value("rbp.5@8", hits, 4) == pytest.approx(by_hand)
    for name, p in (("rbp", 0.8), ("rbp.8", 0.8), ("rbp.95", 0.95), ("rbp.05", 0.05)):
        expected = (1 - p) * sum(p**r * hit for r, hit in enumerate(hits))
        assert value(f"{name}@8", hits, 4) == pytest.approx(expected)
    # An endless list of hits is worth 1: a list of k leaves p^k.
    assert value("rbp.5@8", [1] * 8, 8) == pytest.approx(1 - 0.5**8)


@pytest.mark.parametrize("name", ["rbp.0", "rbp.", "rbp.x", "rbp1", "rbp.-5", "rbp.1.2", "ndcg.5"])
def test_what_is_no_persistence(name: str) -> None:
    with pytest.raises(ConfigError):
        parse_metric(f"{name}@5")


def test_f1_is_the_harmonic_mean() -> None:
    for hits, relevant in (([1, 0, 1, 0], 3), ([1, 1, 1, 1], 4), ([0, 1], 7)):
        precision, recall = (
            value(f"precision@{len(hits)}", hits, relevant),
            value(f"recall@{len(hits)}", hits, relevant),
        )
        expected = 2 * precision * recall / (precision + recall)
        assert value(f"f1@{len(hits)}", hits, relevant) == pytest.approx(expected)
    assert value("f1@2", [0, 0], 3) == 0


@pytest.mark.parametrize("name", ["truncated_map", "r_precision", "rbp", "rbp.5", "f1"])
def test_users_without_a_target_have_no_value(name: str) -> None:
    top, _ = lists_of([0, 0])
    assert math.isnan(parse_metric(f"{name}@2")(top, sp.csr_matrix((1, 2)))[0])
    assert str(parse_metric(f"{name}@2")) == f"{name}@2"
