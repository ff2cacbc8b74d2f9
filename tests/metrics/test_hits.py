"""Matching lists with targets."""

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
def test_hits_are_those_found_one_by_one(seed) -> None:
    topk, target, expected = case(seed)
    found = hits.match(topk, target, "recall@12", 12)
    assert found.hits.tolist() == expected
    assert found.relevant.tolist() == np.diff(target.indptr).tolist()
    rows, places = np.nonzero(found.hits)
    columns = target.indices[found.places[rows, places]]
    assert columns.tolist() == topk.items[rows, places].tolist()
