"""Cosine scores and their sampled loss, written out."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

from recae.nn import Batch, CosineHead, Ragged, Sample, UnitCode
from recae.training import UniformLoader

X = sp.random(7, 11, 0.3, format="csr", random_state=3)
X.data[:] = 1


def head() -> CosineHead:
    made = CosineHead(4, 11, temperature=0.2).double()
    made.initialise(torch.Generator().manual_seed(0))
    return made


def code() -> torch.Tensor:
    hidden = torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return UnitCode()(hidden, Batch(hidden, hidden), None)[0]


def target(sample: Sample | None) -> Ragged:
    x = Ragged.from_csr(X)
    return Ragged(x.indices, x.offsets, x.values.double(), 11, sample)


def cosines(z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (z @ weight.T) / z.norm(dim=1)[:, None] / weight.norm(dim=1) / 0.2


def test_the_scores_are_cosines_over_the_temperature() -> None:
    made, z = head(), code()
    torch.testing.assert_close(z.norm(dim=1), torch.ones(7).double())
    expected = cosines(z, made.weight)
    scores = made(z)
    torch.testing.assert_close(scores.dense(), expected)
    columns = torch.tensor([3, 0, 10, 3, 1, 2, 5])
    torch.testing.assert_close(scores.at(columns), expected.gather(1, columns[:, None])[:, 0])
    with torch.no_grad():
        torch.testing.assert_close(made.eval()(z).to_rank().dense(), expected)


def test_a_code_of_zeros_stays_zero() -> None:
    zeros = torch.zeros(2, 3)
    assert torch.equal(UnitCode()(zeros, Batch(zeros, zeros), None)[0], zeros)


def test_the_sampled_loss_is_a_softmax_over_the_items_of_the_sample() -> None:
    made, z = head(), code()
    items = torch.unique(torch.cat([torch.tensor([2, 9]), torch.from_numpy(X.indices).long()]))
    items = items[items != 9] if len(items) == 11 else items
    items = torch.unique(torch.cat([items, torch.from_numpy(X.indices).long()]))
    x = torch.from_numpy(X.toarray())
    for sample, kept in ((None, torch.arange(11)), (Sample(items, torch.zeros(len(items))), items)):
        logits = cosines(z, made.weight)[:, kept]
        expected = -(x[:, kept] * logits.log_softmax(1)).sum(1).mean()
        loss = made(z).loss("multinomial", target(sample))
        torch.testing.assert_close(loss, expected)
        (found,) = torch.autograd.grad(loss, made.weight)
        (wanted,) = torch.autograd.grad(expected, made.weight)
        assert found.is_sparse == (sample is not None)
        torch.testing.assert_close(found.to_dense(), wanted)


def test_a_batch_has_the_items_of_its_rows_and_others_drawn_uniformly() -> None:
    loader = UniformLoader(X.astype(np.float32), None, 3, seed=5, samples=4)
    drawn = np.zeros(11)
    for number in range(1, 201):
        for batch in loader.epoch(number):
            sample = batch.target.sample
            own = np.unique(batch.input.indices.numpy())
            assert np.isin(own, sample.items.numpy()).all()
            assert len(own) <= len(sample.items) <= len(own) + 4
            assert not sample.log_chances.any()
            drawn[np.setdiff1d(sample.items.numpy(), own)] += 1
    batches = list(loader.epoch(1))
    assert sorted(torch.cat([b.rows for b in batches]).tolist()) == list(range(7))
    again = list(loader.epoch(1))
    assert all(
        torch.equal(a.target.sample.items, b.target.sample.items)
        for a, b in zip(batches, again, strict=True)
    )


def test_items_outside_of_a_batch_are_drawn_alike() -> None:
    one = sp.csr_matrix(np.eye(1, 11, dtype=np.float32))
    loader = UniformLoader(one, None, 3, seed=5, samples=4)
    drawn = np.zeros(11)
    for number in range(1, 1001):
        for batch in loader.epoch(number):
            drawn[batch.target.sample.items.numpy()] += 1
    assert drawn[0] == 1000  # the item of the row
    # 4 of 11: a probability of .364, with a standard error of .015.
    np.testing.assert_allclose(drawn[1:] / 1000, 4 / 11, atol=0.06)


def test_normalised_vectors_of_evaluation_follow_the_weights() -> None:
    made, z = head().eval(), code()
    with torch.no_grad():
        before = made(z).dense()
        made.weight.mul_(torch.arange(1, 12)[:, None])
        torch.testing.assert_close(made(z).dense(), before)
        made.weight.copy_(normalize(made.weight.flip(0)))
        torch.testing.assert_close(made(z).dense(), before.flip(1))
