"""Corruption: unit rows, and dropout drawn from the generator it is given."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Batch, Chain, Dropout, Ragged, UnitNorm


def ragged_and_dense() -> tuple[Batch, Batch]:
    matrix = sp.random(20, 30, 0.3, format="csr", random_state=0, dtype=np.float32)
    ragged, dense = Ragged.from_csr(matrix), torch.from_numpy(matrix.toarray())
    return Batch(ragged, ragged), Batch(dense, dense)


def densified(batch: Batch) -> torch.Tensor:
    x = batch.input
    if isinstance(x, torch.Tensor):
        return x
    dense = torch.zeros(len(x), x.n_columns)
    dense[x.rows, x.indices] = x.values
    return dense


def test_unit_norm_of_ragged_and_dense_rows_agree() -> None:
    ragged, dense = ragged_and_dense()
    scaled = densified(UnitNorm()(ragged, None))
    torch.testing.assert_close(scaled, densified(UnitNorm()(dense, None)))
    norms = scaled.norm(dim=1)
    assert ((norms - 1).abs() < 1e-6).logical_or(norms == 0).all()


@pytest.mark.parametrize("side", [0, 1])
def test_dropout_keeps_the_expected_share_and_scales_it(side: int) -> None:
    ones = torch.ones(200, 100)
    ragged = Ragged.from_csr(sp.csr_matrix(ones.numpy()))
    batch = (Batch(ragged, ragged), Batch(ones, ones))[side]
    dropped = densified(Dropout(0.25)(batch, torch.Generator().manual_seed(0)))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)  # 20,000 draws


def test_noise_is_reproducible_silent_in_evaluation_and_leaves_the_target() -> None:
    batch, _ = ragged_and_dense()
    noise = Chain(UnitNorm(), Dropout(0.5))
    before = torch.random.get_rng_state()
    first = noise(batch, torch.Generator().manual_seed(3))
    again = noise(batch, torch.Generator().manual_seed(3))
    assert torch.equal(densified(first), densified(again))
    assert first.target is batch.target
    assert torch.equal(before, torch.random.get_rng_state())
    noise.eval()
    assert torch.equal(densified(noise(batch, None)), densified(UnitNorm()(batch, None)))


@pytest.mark.parametrize("weight", [1e-40, 1e-25, 1.0, 1e20, 3e38])
def test_unit_norm_takes_weights_of_any_size(weight: float) -> None:
    weights = np.array([[3, 4, 0], [0, 0, 1]]) * weight / 4
    matrix = sp.csr_matrix(weights.astype(np.float32))
    ragged = Ragged.from_csr(matrix)
    values = UnitNorm()(Batch(ragged, ragged), None).input.values
    np.testing.assert_allclose(values.numpy(), [0.6, 0.8, 1.0], rtol=1e-4)
