"""X'X of the closed forms from blocks of users: against dense products, and out of memory maps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.data import csr, scaled
from recae.data.idmap import IdMap
from recae.models.linear import _gram
from recae.nn import Ranks

RNG = np.random.default_rng(1)
X = sp.random(60, 13, 0.3, "csr", random_state=RNG, data_rvs=lambda n: 0.5 + RNG.random(n))
X = sp.vstack([X[:7], sp.csr_matrix((1, 13)), X[7:]], format="csr")  # somebody has nothing


def as_is(part: Any) -> Any:
    return part


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """So many threads of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def mapped(folder: Path, matrix: Any) -> recae.Interactions:
    """The same interactions over arrays on disk."""
    parts = {"data": matrix.data.astype(np.float32), "indices": matrix.indices}
    parts["indptr"] = matrix.indptr
    for name, array in parts.items():
        np.save(folder / f"{name}.npy", array)
    read = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in parts]
    users, items = (
        IdMap.range(n, what) for n, what in zip(matrix.shape, ("user", "item"), strict=True)
    )
    return recae.Interactions._owning(users, items, *read, None)


@pytest.mark.parametrize("width", [1, 4, 100])
@pytest.mark.parametrize("entries", [5, 50, 10**6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gram_matrix_is_that_of_dense_rows(width, entries, dtype, threads, monkeypatch) -> None:
    monkeypatch.setattr(_gram, "WIDTH", width)
    monkeypatch.setattr(scaled, "ENTRIES", entries)
    gram = _gram.gram_matrix(scaled.Rows(X, as_is), 13, np.dtype(dtype))
    assert gram.dtype == dtype and gram.flags.c_contiguous and (gram == gram.T).all()
    np.testing.assert_allclose(gram, X.toarray().T @ X.toarray(), rtol=1e-6)


def test_whole_numbers_add_up_to_the_same_bits_in_blocks(monkeypatch) -> None:
    counts = sp.csr_matrix(np.round(X.toarray() * 9))
    once = _gram.gram_matrix(scaled.Rows(counts, as_is), 13, np.dtype(np.float64))
    monkeypatch.setattr(scaled, "ENTRIES", 20)
    rows = scaled.Rows(counts, as_is)
    assert len(list(rows)) > 4
    assert (_gram.gram_matrix(rows, 13, np.dtype(np.float64)) == once).all()


def test_no_rows_and_no_entries_give_zeros() -> None:
    for shape in ((0, 3), (4, 3)):
        gram = _gram.gram_matrix(scaled.Rows(sp.csr_matrix(shape), as_is), 3, np.dtype(np.float64))
        assert (gram == 0).all()


@pytest.mark.parametrize("rank", [0, 1])
def test_sums_that_overflow_are_left_to_the_solver_by_every_process(rank, monkeypatch) -> None:
    sent: list[Any] = []

    class Process(Ranks):
        def told(self, content: Any) -> Any:
            return content

        def send(self, tensor: torch.Tensor, to: int) -> None:
            sent.append(tensor)

        def receive(self, into: torch.Tensor, source: int) -> None:
            into.fill_(np.inf)

    for name in ("WIDTH", "NARROWEST"):
        monkeypatch.setattr(_gram, name, 1)
    block = sp.csr_matrix(np.full((1, 2), 1.5e19))  # its square is a float32, twice that is none
    ranks = Process(rank, 2)
    gram = _gram.gram_matrix([block, block], 2, np.dtype(np.float32), ranks)
    assert np.isinf(sent[0].numpy() if gram is None else gram).all()


@pytest.mark.parametrize("entries", [7, 10**6])
@pytest.mark.parametrize(("u", "v"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.3), (0.2, 0.4)])
def test_rows_are_scaled_by_the_degrees_of_all_users(u, v, entries, monkeypatch) -> None:
    monkeypatch.setattr(scaled, "ENTRIES", entries)
    rows = scaled.Rows.scaled(X, as_is, u, v)
    dense = X.toarray()
    users, items = (np.where(d > 0, d, 1) for d in (dense.sum(axis=1), dense.sum(axis=0)))
    expected = users[:, None] ** -u * dense * items**-v
    np.testing.assert_allclose(np.vstack([part.toarray() for part in rows]), expected)
    np.testing.assert_allclose(rows.squares(), (expected**2).sum(axis=0))


def test_the_rows_of_a_block_share_memory_with_the_matrix() -> None:
    block = scaled.rows_of(X, slice(3, 20))
    assert np.shares_memory(block.data, X.data) and np.shares_memory(block.indices, X.indices)
    assert (block != X[3:20]).nnz == 0


def test_blocks_of_more_than_2_to_31_entries_are_counted_in_32_bits_again() -> None:
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    wide.indptr += 2**33  # as if that many entries stood before these

    class Far:
        """An array of which only the entries from 2**33 on are there."""

        def __init__(self, array: Any) -> None:
            self.array, self.dtype = array, array.dtype

        def __getitem__(self, part: slice) -> Any:
            return self.array[part.start - 2**33 : part.stop - 2**33]

    wide.data, wide.indices = Far(wide.data), Far(wide.indices)
    block = scaled.rows_of(wide, slice(3, 20))
    assert block.indices.dtype == block.indptr.dtype == np.int32
    assert (block != X[3:20]).nnz == 0


@pytest.mark.parametrize("settings", [{}, {"user_power": 0.2, "item_power": 0.3}])
@pytest.mark.parametrize("transform", ["none", "quantile", "bm25"])
def test_a_fit_from_disk_in_blocks_is_the_fit_in_memory(
    settings, transform, tmp_path, monkeypatch
) -> None:
    model = recae.EASE(l2=2.0, weights="both", weight_transform=transform, **settings)
    data = recae.Interactions.from_csr(X)
    expected = model.fit(data).weights_.numpy()
    monkeypatch.setattr(scaled, "ENTRIES", 25)
    found = model.clone().fit(mapped(tmp_path, data.matrix)).weights_.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_fit_over_users_reads_blocks_too(tmp_path, monkeypatch) -> None:
    wide = sp.csr_matrix((RNG.random((9, 40)) < 0.3) * 1.0)
    expected = recae.EASE(l2=2.0).fit(wide).weights_.numpy()
    monkeypatch.setattr(scaled, "ENTRIES", 25)
    found = recae.EASE(l2=2.0).fit(mapped(tmp_path, wide)).weights_.numpy()
    assert (found == expected).all()


def test_the_memory_of_a_fit_from_disk_does_not_grow_with_the_interactions(
    tmp_path, monkeypatch
) -> None:
    """The largest array that numpy allocates, counted by tracemalloc, with 40 times the users."""
    monkeypatch.setattr(scaled, "ENTRIES", 6_500)  # one block, or forty: never two at a time
    monkeypatch.setattr(csr, "BLOCK", 6_500)
    peaks = []
    for n_users in (1_000, 40_000):
        folder = tmp_path / str(n_users)
        folder.mkdir()
        small = sp.csr_matrix((RNG.random((1_000, 20)) < 0.3) * 1.0)
        data = mapped(folder, sp.vstack([small] * (n_users // 1_000), format="csr"))
        rows = scaled.Rows.scaled(data.matrix, as_is, 0.0, 0.0)
        tracemalloc.start()
        rows.squares()
        _gram.gram_matrix(rows, 20, np.dtype(np.float64))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
