"""Sampled negatives: zeros in the target, of items that the row does not have."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recae.training import NegativesLoader, SparseLoader

MATRIX = sp.random(40, 30, 0.2, format="csr", random_state=1, dtype=np.float32)
MATRIX.data = np.ceil(MATRIX.data * 4).astype(np.float32)


def test_entries_stay_and_the_drawn_are_others() -> None:
    loader = NegativesLoader(MATRIX, None, 8, 0, negatives=3)
    plain = SparseLoader(MATRIX, None, 8, 0)
    drawn = np.zeros(30)
    for epoch in range(1, 30):
        for batch, expected in zip(loader.epoch(epoch), plain.epoch(epoch), strict=True):
            assert batch.input.indices.tolist() == expected.input.indices.tolist()
            assert batch.rows.tolist() == expected.rows.tolist()
            x = batch.target
            assert x.offsets[-1] == len(x.indices) and len(x) == len(expected.input)
            for row, number in enumerate(batch.rows.tolist()):
                part = slice(int(x.offsets[row]), int(x.offsets[row + 1]))
                columns, values = x.indices[part].numpy(), x.values[part].numpy()
                assert (np.diff(columns) > 0).all()  # rising, each once
                has = MATRIX[[number]]
                np.testing.assert_array_equal(columns[values > 0], has.indices)
                np.testing.assert_array_equal(values[values > 0], has.data)
                assert (values == 0).sum() <= 3 * has.nnz
                drawn[columns[values == 0]] += 1
    # Uniform over what rows do not have: each column as often as rows lack it, up to chance.
    missing = 40 - MATRIX.getnnz(axis=0)
    share = drawn / missing
    assert share.min() > 0.8 * share.mean() and share.max() < 1.2 * share.mean()


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        loader = NegativesLoader(MATRIX, None, 40, seed, negatives=2)
        return sorted(next(iter(loader.epoch(epoch))).target.indices.tolist())

    assert first(0, 1) == first(0, 1)
    assert first(0, 1) != first(0, 2)
    assert first(0, 1) != first(1, 1)
