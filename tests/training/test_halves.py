"""Halves of histories: what goes in and what must come out never overlap."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recae.training import HalvesLoader, SparseLoader

MATRIX = sp.random(45, 30, 0.2, format="csr", random_state=1, dtype=np.float32)
MATRIX.data = np.ceil(MATRIX.data * 4).astype(np.float32)
SIZE = 8


def dense(ragged) -> np.ndarray:
    shape = (len(ragged), ragged.n_columns)
    return sp.csr_matrix((ragged.values, ragged.indices, ragged.offsets), shape=shape).toarray()


def test_a_third_is_whole_and_the_rest_are_halves_of_others() -> None:
    loader = HalvesLoader(MATRIX, None, SIZE, 3)
    plain = [batch.rows.tolist() for batch in SparseLoader(MATRIX, None, SIZE, 3).epoch(2)]
    assert len(loader) == len(plain)
    for index, batch in enumerate(loader.epoch(2)):
        whole, one, other = (plain[(index + ahead) % len(plain)] for ahead in range(3))
        assert batch.rows.tolist() == whole + one + other
        inputs, targets = dense(batch.input), dense(batch.target)
        np.testing.assert_array_equal(inputs[: len(whole)], MATRIX[whole].toarray())
        np.testing.assert_array_equal(targets[: len(whole)], inputs[: len(whole)])
        rows = np.array(one + other)
        a, b = inputs[len(whole) :], targets[len(whole) :]
        assert not (a * b).any()
        np.testing.assert_array_equal(a + b, MATRIX[rows].toarray())
        lengths = MATRIX.getnnz(axis=1)[rows]
        halves = np.where(np.arange(len(rows)) < len(one), lengths // 2, lengths - lengths // 2)
        np.testing.assert_array_equal((a > 0).sum(1), halves)


def test_without_whole_histories_the_halves_are_the_same() -> None:
    both = HalvesLoader(MATRIX, None, SIZE, 3).epoch(2)
    alone = HalvesLoader(MATRIX, None, SIZE, 3, whole=False).epoch(2)
    plain = [len(batch) for batch in SparseLoader(MATRIX, None, SIZE, 3).epoch(2)]
    for length, some, rest in zip(plain, both, alone, strict=True):
        assert rest.rows.tolist() == some.rows.tolist()[length:]
        for given, left in ((some.input, rest.input), (some.target, rest.target)):
            np.testing.assert_array_equal(dense(left), dense(given)[length:])
        assert not (dense(rest.input) * dense(rest.target)).any()  # nothing can be copied


def test_halves_are_drawn_evenly_and_anew() -> None:
    loader = HalvesLoader(MATRIX, None, 45, 3)
    went_in, seen = np.zeros(30), []
    for epoch in range(1, 200):
        batch = next(iter(loader.epoch(epoch)))
        part = dense(batch.input)[45:90] > 0
        went_in += part.sum(0)
        seen.append(part)
    assert any((seen[0] != other).any() for other in seen[1:])
    lengths = MATRIX.getnnz(axis=1)
    share = (MATRIX > 0).multiply((lengths // 2 / lengths)[:, None]).sum(0).A1 * 199
    np.testing.assert_allclose(went_in, share, rtol=0.12)


def test_a_target_of_its_own_is_halved_alike() -> None:
    plain = list(SparseLoader(MATRIX, None, SIZE, 0).epoch(1))
    loader = HalvesLoader(MATRIX, MATRIX * 2, SIZE, 0)
    for whole, batch in zip(plain, loader.epoch(1), strict=True):
        inputs, targets = dense(batch.input)[len(whole) :], dense(batch.target)[len(whole) :]
        assert not (inputs * targets).any()
        expected = MATRIX[batch.rows.numpy()[len(whole) :]].toarray()
        np.testing.assert_array_equal(inputs + targets / 2, expected)


def test_epochs_repeat_with_the_seed() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        return next(iter(HalvesLoader(MATRIX, None, 9, seed).epoch(epoch))).input.indices.tolist()

    assert first(0, 1) == first(0, 1) != first(0, 2)
    assert first(1, 1) != first(0, 1)
