"""The loader of a device deals the bits of SparseLoader, and never asks the device anything."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Batch
from recae.training import ArrayLoader, DeviceLoader, HalvesLoader, SparseLoader, on_device
from recae.training import device as device_loader

CPU = torch.device("cpu")
MATRIX = sp.random(50, 20, 0.2, "csr", dtype=np.float32, random_state=np.random.default_rng(1))
MATRIX = sp.csr_matrix(sp.diags_array((np.arange(50) != 7) * np.float32(1)) @ MATRIX)
MATRIX.eliminate_zeros()  # row 7 is empty


def same(one: Batch, other: Batch) -> None:
    pairs = [(one.rows, other.rows)]
    for a, b in ((one.input, other.input), (one.target, other.target)):
        assert a.n_columns == b.n_columns
        pairs += [(a.indices, b.indices), (a.offsets, b.offsets), (a.values, b.values)]
    for a, b in pairs:
        assert a.dtype == b.dtype and torch.equal(a, b)
    assert (one.target is one.input) == (other.target is other.input)


@pytest.mark.parametrize("target", [None, MATRIX * np.float32(2)])
@pytest.mark.parametrize("size", [1, 8, 49, 100])
@pytest.mark.parametrize("block", [1, 40, 1 << 22])
def test_an_epoch_is_that_of_the_sparse_loader(target, size, block, monkeypatch) -> None:
    monkeypatch.setattr(device_loader, "BLOCK_ENTRIES", block)
    plain = SparseLoader(MATRIX, target, size, seed=3)
    ours = DeviceLoader(plain, CPU)
    assert len(ours) == len(plain)
    for number in (1, 2):
        pairs = list(zip(ours.epoch(number), plain.epoch(number), strict=True))
        assert len(pairs) == len(plain)
        for pair in pairs:
            same(*pair)


def test_nothing_is_asked_of_the_device() -> None:
    # Tensors on "meta" have no numbers: whatever had to read one back would raise.
    ours = DeviceLoader(
        SparseLoader(MATRIX, MATRIX * np.float32(2), 8, seed=3), torch.device("meta")
    )
    for batch in ours.epoch(1):
        assert batch.input.indices.device.type == batch.target.values.device.type == "meta"
        assert batch.input.rows.shape == batch.input.indices.shape
        with pytest.raises((RuntimeError, NotImplementedError)):
            batch.input.offsets[-1].item()


def test_one_upload_an_epoch(monkeypatch) -> None:
    ours, uploads = DeviceLoader(SparseLoader(MATRIX, None, 4, seed=3), CPU), []
    up = ours._up
    monkeypatch.setattr(ours, "_up", lambda numbers: uploads.append(len(numbers)) or up(numbers))
    assert len(list(ours.epoch(1))) == 13
    assert uploads == [49, 49, 50]  # the rows, where they start, and their bounds, once


def test_the_matrix_is_not_shared_with_the_caller() -> None:
    matrix = MATRIX.copy()
    ours = DeviceLoader(SparseLoader(matrix, None, 100, seed=3), CPU)
    matrix.data[:] = 9
    assert not (next(ours.epoch(1)).input.values == 9).any()


def test_which_loaders_move() -> None:
    plain, meta = SparseLoader(MATRIX, None, 8, seed=0), torch.device("meta")
    assert on_device(plain, CPU) is plain
    assert isinstance(on_device(plain, meta), DeviceLoader)
    halves = HalvesLoader(MATRIX, None, 8, seed=0)
    assert on_device(halves, meta) is halves


def test_a_read_only_matrix_is_copied_without_a_warning() -> None:
    frozen = MATRIX.copy()
    for part in (frozen.data, frozen.indices, frozen.indptr):
        part.flags.writeable = False
    DeviceLoader(SparseLoader(frozen, None, 8, seed=0), CPU)  # warnings are errors here


def test_dense_rows_move_too() -> None:
    rows, meta = torch.rand(9, 3), torch.device("meta")
    plain = ArrayLoader(rows, None, 4, seed=0)
    assert on_device(plain, CPU) is plain
    moved = on_device(plain, meta)
    assert moved.input.is_meta and moved.target is None
    assert device_loader.loader_bytes(ArrayLoader(rows, rows, 4, seed=0)) == 2 * 9 * 3 * 4


def test_a_matrix_that_would_fill_the_device_stays(monkeypatch) -> None:
    plain, cuda = SparseLoader(MATRIX, None, 8, seed=0), torch.device("cuda")
    needed = device_loader.matrix_bytes(MATRIX, None)
    assert needed == 8 * MATRIX.nnz + 16 * 50
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (needed / 0.25 - 4, 0))
    assert on_device(plain, cuda) is plain
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (needed / 0.25, 0))
    monkeypatch.setattr(device_loader, "DeviceLoader", lambda loader, device: "moved")
    assert on_device(plain, cuda) == "moved"
