"""Corruption: unit rows, and dropout drawn from the generator it is given."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from recae.nn import Batch, Chain, Dropout, GaussianNoise, Masking, Ragged, SaltAndPepper, UnitNorm


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


# Noise for dense rows.

WIDE = torch.full((400, 100), 3.0)
DENSE = {
    "dropout": Dropout(0.3),
    "masking": Masking(0.3),
    "gaussian": GaussianNoise(0.3),
    "salt-and-pepper": SaltAndPepper(0.3, -1.0, 2.0),
}


def dense(noise: nn.Module, seed: int = 0) -> torch.Tensor:
    batch = Batch(WIDE, WIDE)
    out = noise(batch, torch.Generator().manual_seed(seed))
    assert out.target is WIDE
    assert isinstance(out.input, torch.Tensor)
    return out.input


def test_masking_hides_its_share_and_leaves_the_rest() -> None:
    found = dense(Masking(0.3).train())
    assert set(found.unique().tolist()) == {0.0, 3.0}
    assert (found == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_dropout_keeps_the_mean() -> None:
    found = dense(Dropout(0.3).train())
    assert found.unique().tolist() == pytest.approx([0, 3 / 0.7])
    assert found.mean().item() == pytest.approx(3, rel=0.01)


def test_gaussian_noise_has_its_mean_and_deviation() -> None:
    found = dense(GaussianNoise(0.3).train()) - 3
    assert found.mean().item() == pytest.approx(0, abs=0.01)
    assert found.std().item() == pytest.approx(0.3, rel=0.02)


def test_salt_and_pepper_come_in_halves() -> None:
    found = dense(SaltAndPepper(0.3, -1.0, 2.0).train())
    assert set(found.unique().tolist()) == {-1.0, 2.0, 3.0}
    for extreme in (-1.0, 2.0):
        assert (found == extreme).float().mean().item() == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("name", DENSE)
def test_dense_noise_is_the_generators_and_for_training_only(name: str) -> None:
    noise = DENSE[name]
    state = torch.get_rng_state()
    assert torch.equal(dense(noise.train()), dense(noise.train()))
    assert not torch.equal(dense(noise.train()), dense(noise.train(), seed=1))
    assert torch.equal(dense(noise.eval()), WIDE)
    assert torch.equal(torch.get_rng_state(), state)
    assert (WIDE == 3).all()


@pytest.mark.parametrize("name", ["masking", "gaussian"])
def test_noise_of_sparse_rows_is_on_their_entries(name: str) -> None:
    values = torch.ones(1000)
    ragged = Ragged(torch.arange(1000), torch.tensor([0, 1000]), values, 2000)
    out = DENSE[name].train()(Batch(ragged, ragged), torch.Generator().manual_seed(0)).input
    assert torch.equal(out.indices, ragged.indices)
    changed = out.values - values
    if name == "gaussian":
        assert changed.std().item() == pytest.approx(0.3, rel=0.1)
    else:
        assert (out.values == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    with pytest.raises(TypeError, match="sparse"):
        DENSE["salt-and-pepper"].train()(Batch(ragged, ragged), None)


def test_unit_norm_of_a_row_of_stored_zeros_is_zeros() -> None:
    """Deviations from a mean can be 0 in every cell: 0 / 0 would be NaN."""
    values, rows = torch.tensor([0.0, 0.0, 3.0]), [[0, 1], [1]]
    matrix = sp.csr_matrix((values.numpy(), [*rows[0], *rows[1]], [0, 2, 3]), shape=(2, 2))
    ragged = Ragged.from_csr(matrix)
    assert UnitNorm()(Batch(ragged, ragged), None).input.values.tolist() == [0, 0, 1]


@pytest.mark.parametrize("weights", ["ones", "drawn", "large", "zeros", "one number", "none"])
def test_a_row_by_itself_is_scaled_bit_for_bit_as_among_others(weights: str) -> None:
    drawn = torch.rand(70, generator=torch.Generator().manual_seed(1))
    values = {"ones": torch.ones(70), "drawn": drawn, "large": 1e30 * drawn}.get(weights)
    if values is None:
        values = {"zeros": torch.zeros(9), "one number": torch.ones(1) * 3}.get(weights, drawn[:0])
    columns = torch.arange(len(values))
    ends = torch.tensor([0, len(values), 2 * len(values)])
    one = Ragged(columns, ends[:2], values, 70)
    two = Ragged(columns.repeat(2), ends, values.repeat(2), 70)
    assert one.rows.tolist() == [0] * len(values)
    alone, among = (UnitNorm()(Batch(rows, rows), None).input.values for rows in (one, two))
    assert torch.equal(alone, among[: len(values)]) and torch.equal(alone, among[len(values) :])
