"""Ragged batches are CSR rows, with empty ones added where asked."""

import scipy.sparse as sp
import torch

from recae.nn import Batch, Ragged

MATRIX = sp.csr_matrix([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def test_rows_lengths_and_sums() -> None:
    ragged = Ragged.from_csr(MATRIX)
    assert len(ragged) == 3 and ragged.n_columns == 3
    assert ragged.rows.tolist() == [0, 0, 2]
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.row_sums(ragged.values).tolist() == [5.0, 0.0, 1.0]


def test_the_batch_owns_its_values() -> None:
    matrix = MATRIX.copy()
    ragged = Ragged.from_csr(matrix)
    ragged.values.zero_()
    assert matrix.data.tolist() == [2.0, 3.0, 1.0]


def test_moving_a_batch_keeps_a_shared_target_shared() -> None:
    ragged = Ragged.from_csr(MATRIX)
    moved = Batch(ragged, ragged, torch.arange(3)).to("meta")
    assert moved.target is moved.input
    assert isinstance(moved.input, Ragged) and moved.input.values.device.type == "meta"
