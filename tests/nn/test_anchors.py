"""The distance of codes to the anchors of the user's items, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Anchors, Batch, Ragged

X = sp.csr_matrix(np.tri(6, 9, 1))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_term_is_the_mean_squared_distance_to_the_anchors(sparse: bool) -> None:
    anchors = Anchors(9, 4).double()
    anchors.initialise(torch.Generator().manual_seed(0))
    anchors.sparse = sparse
    z = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    x = Ragged.from_csr(X)
    x = x.with_values(x.values.double())
    found = anchors(z, Batch(x, x))
    e = anchors.weight
    expected = torch.stack(
        [torch.stack([(z[u] - e[i]).square().sum() for i in X[u].indices]).mean() for u in range(6)]
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    slopes = torch.autograd.grad(found.square().sum(), [z, e])
    wanted = torch.autograd.grad(expected.square().sum(), [z, e])
    assert slopes[1].is_sparse == sparse
    torch.testing.assert_close(slopes[0], wanted[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(slopes[1].to_dense(), wanted[1], rtol=1e-6, atol=1e-6)


def test_a_row_without_items_has_only_the_length_of_its_code() -> None:
    empty = Ragged.from_csr(sp.csr_matrix((2, 3)))
    term = Anchors(3, 4)(torch.full((2, 4), 0.5), Batch(empty, empty))
    torch.testing.assert_close(term, torch.ones(2))
