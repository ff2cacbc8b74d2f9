"""Products of sparse histories."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.recommend import sparse
from recae.recommend.sparse import summed


@pytest.mark.parametrize("weighted", [False, True])
def test_read_only_histories_are_summed_without_a_warning(weighted: bool) -> None:
    dense = np.array([[0, 2, 3], [0, 0, 0], [5, 0, 1]], dtype=np.float32)
    histories = sp.csr_matrix(dense)
    for part in (histories.data, histories.indices, histories.indptr):
        part.setflags(write=False)
    table = torch.arange(6.0).reshape(3, 2)
    torch.set_warn_always(True)  # torch warns of read-only arrays once for a process otherwise
    try:
        found = summed(histories, table, weighted)
    finally:
        torch.set_warn_always(False)
    expected = (dense if weighted else dense != 0) @ table.numpy()
    np.testing.assert_allclose(found.numpy(), expected)


@pytest.mark.parametrize(("most", "what"), [(5, "interactions"), (8, "neighbours")])
def test_neighbours_that_need_more_than_32_bits_are_refused(most, what, monkeypatch) -> None:
    monkeypatch.setattr(sparse, "MOST", most)
    matrix = sp.csr_matrix(np.tri(3, dtype=np.float32))  # 6 entries; 3 items x (2 + 1)
    if what == "neighbours":
        matrix = sp.csr_matrix(np.eye(3, dtype=np.float32))
    with pytest.raises(recae.errors.CapacityError, match=f"{what}.*ELSA"):
        sparse.nearest_columns(matrix, 2)
