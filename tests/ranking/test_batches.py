"""Measuring on a fold against lists and metrics written out from full matrices of scores."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae import ConfigError, Fold, Interactions, MultDAE, RecaeWarning
from recae.data import IdMap
from recae.ranking.batches import BATCH_CELLS, rows_per_batch
from recae.recommend.requests import AlignedFold, measure

N_USERS, N_ITEMS = 30, 20
ITEMS = IdMap([f"item {number}" for number in range(N_ITEMS)], "item")
RNG = np.random.default_rng(8)
SCORES = RNG.integers(-4, 5, (N_USERS, N_ITEMS)).astype(np.float32)  # with many ties
HISTORY = RNG.random((N_USERS, N_ITEMS)) < 0.2
TARGET = (RNG.random((N_USERS, N_ITEMS)) < 0.15) & ~HISTORY
TARGET[4] = False
MASK = HISTORY | (RNG.random((N_USERS, N_ITEMS)) < 0.1)
METRICS = ["ndcg@5", "recall@3", "mrr@20", "coverage@2"]


def interactions(cells: np.ndarray, items: IdMap = ITEMS) -> Interactions:
    users = [f"user {number}" for number in range(N_USERS)]
    return Interactions.from_csr(sp.csr_matrix(cells * 1.0), users=users, items=items)


def by_hand(masked: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric from the definition, one user at a time; NaN without a target."""
    values: dict[str, list[float]] = {"ndcg@5": [], "recall@3": [], "mrr@20": []}
    listed = np.zeros(masked.shape[1], dtype=bool)
    for row, hidden in enumerate(masked):
        order = [j for j in np.lexsort((np.arange(N_ITEMS), -SCORES[row])) if not hidden[j]]
        listed[order[:2]] = True
        hits = np.array([target[row, j] for j in order])
        n = target[row].sum()
        if not n:
            for metric in values:
                values[metric].append(np.nan)
            continue
        gains = 1 / np.log2(np.arange(len(order)) + 2)
        ideal = (1 / np.log2(np.arange(min(n, 5)) + 2)).sum()
        values["ndcg@5"].append((hits[:5] * gains[:5]).sum() / ideal)
        values["recall@3"].append(hits[:3].sum() / n)
        first = np.flatnonzero(hits[:20])
        values["mrr@20"].append(1 / (first[0] + 1) if len(first) else 0.0)
    arrays = {metric: np.array(column) for metric, column in values.items()}
    return arrays | {"coverage@2": np.array(listed.mean())}


class Planted:
    """Scores looked up by history: row r of SCORES for the r-th history it is asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.steps: list[int] = []

    def __call__(self, matrix: sp.csr_matrix) -> torch.Tensor:
        rows = slice(self.asked, self.asked + matrix.shape[0])
        self.asked += matrix.shape[0]
        self.steps.append(matrix.shape[0])
        np.testing.assert_array_equal(matrix.toarray() > 0, HISTORY[rows])
        return torch.from_numpy(SCORES[rows].copy())


@pytest.mark.parametrize("batch_size", ["auto", 1, 7, 30])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_definitions_on_full_matrices(batch_size, masked) -> None:
    mask = interactions(MASK) if masked else None
    fold = Fold(interactions(HISTORY), interactions(TARGET), mask)
    planted = Planted()
    measured = measure(planted, AlignedFold.of(fold, ITEMS), METRICS, batch_size=batch_size)
    expected = by_hand(MASK if masked else HISTORY, TARGET)
    for metric, values in measured.per_user().items():
        np.testing.assert_allclose(values, expected[metric], rtol=1e-12)
    assert measured.catalogue() == {"coverage@2": expected["coverage@2"]}
    assert sum(planted.steps) == N_USERS and max(planted.steps) <= (
        30 if batch_size == "auto" else batch_size
    )


def test_a_fold_in_another_vocabulary_is_matched_by_id() -> None:
    # Other columns in another order; the model's "item 3" is not in the fold, the fold's "new" not
    # in the model: a target on it is a miss, a history with it is left out.
    kept = [j for j in RNG.permutation(N_ITEMS) if j != 3]
    items = IdMap(["new", *ITEMS.ids[kept]], "item")
    history = np.column_stack([np.zeros(N_USERS, bool), HISTORY[:, kept]])
    target = np.column_stack([np.arange(N_USERS) % 2 == 0, TARGET[:, kept]])
    fold = Fold(interactions(history, items), interactions(target, items))

    hidden = HISTORY.copy()
    hidden[:, 3] = False  # unknown to the fold, so it may be listed, and misses
    wide = TARGET.copy()
    wide[:, 3] = False
    expected = by_hand(hidden, wide)  # hits are the same; one more target for every other user
    scores = iter(range(N_USERS))

    def planted(matrix: sp.csr_matrix) -> torch.Tensor:
        rows = [next(scores) for _ in range(matrix.shape[0])]
        seen = HISTORY[rows].copy()
        seen[:, 3] = False
        np.testing.assert_array_equal(matrix.toarray() > 0, seen)
        return torch.from_numpy(SCORES[rows])

    measured = measure(planted, AlignedFold.of(fold, ITEMS), ["recall@3", "mrr@20"]).per_user()
    n, extra = wide.sum(axis=1), np.arange(N_USERS) % 2 == 0
    recall = np.nan_to_num(expected["recall@3"]) * n / np.where(n + extra > 0, n + extra, np.nan)
    np.testing.assert_allclose(measured["recall@3"], recall, rtol=1e-12)
    mrr = np.where((n == 0) & extra, 0, expected["mrr@20"])
    np.testing.assert_allclose(measured["mrr@20"], mrr, rtol=1e-12)

    odd = history.copy()
    odd[2, 0] = True
    with pytest.warns(RecaeWarning, match="1 of .* interactions .*'new'"):
        scores = iter(range(N_USERS))
        measure(
            planted,
            AlignedFold.of(Fold(fold.history, fold.target, interactions(odd, items)), ITEMS),
            ["mrr@20"],
        )


def test_the_places_of_a_short_list_are_no_items_in_any_vocabulary() -> None:
    # Only item 0 may be listed; the other targets are masked, and must not be hit by what is -1.
    other = IdMap(ITEMS.ids[::-1], "item")
    mask = np.ones((N_USERS, N_ITEMS), bool)
    mask[:, 0] = False
    for items, order in ((ITEMS, slice(None)), (other, slice(None, None, -1))):
        parts = (HISTORY, mask & ~HISTORY, mask)
        fold = Fold(*(interactions(part[:, order], items) for part in parts))
        measured = measure(Planted(), AlignedFold.of(fold, ITEMS), ["recall@5", "coverage@5"])
        assert (measured.per_user()["recall@5"] == 0).all()
        assert measured.catalogue() == {"coverage@5": 1 / N_ITEMS}


def test_coverage_counts_the_catalogue_of_the_fold() -> None:
    items = IdMap([*ITEMS.ids, *[f"more {number}" for number in range(20)]], "item")
    more = np.zeros((N_USERS, 20), bool)
    fold = Fold(
        interactions(np.hstack([HISTORY, more]), items),
        interactions(np.hstack([TARGET, more]), items),
    )
    expected = by_hand(HISTORY, TARGET)["coverage@2"] / 2
    assert measure(Planted(), AlignedFold.of(fold, ITEMS), ["coverage@2"]).catalogue() == {
        "coverage@2": expected
    }


def test_a_network_validates_on_a_fold_in_another_vocabulary() -> None:
    order = RNG.permutation(N_ITEMS)
    other = IdMap(ITEMS.ids[order], "item")
    same = Fold(interactions(HISTORY), interactions(TARGET))
    moved = Fold(interactions(HISTORY[:, order], other), interactions(TARGET[:, order], other))
    curves = []
    for fold in (same, moved):
        model = MultDAE(latent=8, hidden=(16,), epochs=3, lr=0.05, metric="ndcg@5")
        model.fit(interactions(HISTORY), validation=fold)
        curves.append([epoch.metrics for epoch in model.epochs_])
    assert curves[0] == curves[1]


def test_rows_per_batch() -> None:
    assert rows_per_batch("auto", 2**10) == BATCH_CELLS // 2**10
    assert rows_per_batch("auto", 10**4) * 10**4 <= BATCH_CELLS
    assert rows_per_batch("auto", 10**7) == 64  # at least
    assert rows_per_batch("auto", 0) >= 64
    assert rows_per_batch(np.uint8(3), 5) == 3
    with pytest.raises(ConfigError, match="batch_size .*'auto' .*>= 1, not 'Auto"):
        rows_per_batch("Auto", 5)
