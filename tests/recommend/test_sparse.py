"""Products of sparse histories."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

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
