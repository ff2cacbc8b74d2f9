"""Matching lists with targets: the quick look-up never changes what is found."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recae.metrics import hits
from recae.ranking.top_k import TopK


def case(seed: int) -> tuple[TopK, sp.csr_matrix, list[list[bool]]]:
    """Random lists with empty places and repetitions, targets, and the hits found one by one."""
    rng = np.random.default_rng(seed)
    items = rng.integers(-1, 40, size=(25, 12)).astype(np.int32)
    target = sp.random(25, 40, density=0.2, format="csr", random_state=seed)
    dense = target.toarray() > 0
    expected = []
    for row, shown in enumerate(items.tolist()):
        fresh = [item >= 0 and item not in shown[:place] for place, item in enumerate(shown)]
        expected.append(
            [new and bool(dense[row, item]) for new, item in zip(fresh, shown, strict=True)]
        )
    return TopK(items, np.zeros(items.shape, dtype=np.float32)), target, expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("collide", [False, True])
def test_hits_are_those_found_one_by_one(seed, collide, monkeypatch) -> None:
    if collide:  # all keys share one cell of the filter, so that it lets everything through
        monkeypatch.setattr(hits, "_hash", lambda keys, bits: np.zeros_like(keys))
    topk, target, expected = case(seed)
    found, relevant = hits.match(topk, target, "recall@12", 12)
    assert found.tolist() == expected
    assert relevant.tolist() == np.diff(target.indptr).tolist()


def test_the_filter_lets_every_key_through_and_few_others() -> None:
    keys = np.unique(np.random.default_rng(0).integers(0, 1 << 40, 5000))
    assert hits._may_hold(keys, keys).all()
    others = np.arange(1 << 40, (1 << 40) + 100_000)
    assert hits._may_hold(keys, others).mean() < 1 / 10
    assert not hits._may_hold(keys[:0], others).any()
