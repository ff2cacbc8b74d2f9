"""ELSA against its formulas written out densely."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

import recae
from recae.nn import Batch, Ragged, TiedDecoder, UnitRows

X = sp.random(12, 9, 0.4, format="csr", random_state=2)
X.data[:] = 1


def scores(latent: int, dtype: torch.dtype = torch.float64):
    encoder = UnitRows(9, latent).to(dtype)
    encoder.initialise(torch.Generator().manual_seed(1))
    ragged = Ragged.from_csr(X)
    ragged = ragged.with_values(ragged.values.to(dtype))
    lazy = TiedDecoder(encoder)(encoder(ragged), Batch(ragged, ragged))
    return encoder, ragged, lazy


@pytest.mark.parametrize("latent", [4, 30])  # more and fewer rows than the code is wide
def test_the_loss_is_that_of_unit_vectors_written_out(latent: int) -> None:
    encoder, ragged, lazy = scores(latent)
    x = torch.from_numpy(X.toarray())
    a = normalize(encoder.weight, dim=1)
    output = x @ a @ a.T - x
    torch.testing.assert_close(lazy.dense(), output)
    expected = (normalize(output, dim=1) - normalize(x, dim=1)).square().sum(1).mean()
    loss = lazy.loss("cosine", ragged)
    torch.testing.assert_close(loss, expected)
    (found,) = torch.autograd.grad(loss, encoder.weight)
    (wanted,) = torch.autograd.grad(expected, encoder.weight)
    torch.testing.assert_close(found, wanted)


def test_gradients_agree_with_finite_differences() -> None:
    ragged = scores(4)[1]

    def loss(weight: torch.Tensor) -> torch.Tensor:
        encoder = UnitRows(9, 4)
        del encoder.weight
        encoder.weight = weight
        batch = Batch(ragged, ragged)
        return TiedDecoder(encoder)(encoder(ragged), batch).loss("cosine", ragged)

    weight = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (weight,))


def test_an_item_says_nothing_of_itself() -> None:
    model = recae.ELSA(latent=4, epochs=2).fit(X)
    alone = model.score(sp.eye(9, format="csr"))
    np.testing.assert_allclose(np.diag(alone), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(model.item_embeddings_, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(alone, alone.T, atol=1e-6)


def test_two_groups_of_items_are_told_apart() -> None:
    # Users of items 0-9 or of 10-19, each with 5: the rest of the group comes first.
    generator = np.random.default_rng(0)
    rows = np.zeros((200, 20))
    for row in range(200):
        rows[row, generator.choice(10, 5, replace=False) + 10 * (row % 2)] = 1
    model = recae.ELSA(latent=6, epochs=20, batch_size=20).fit(sp.csr_matrix(rows))
    top = model.recommend_array(sp.csr_matrix(rows), k=5).items
    assert (top // 10 == (np.arange(200) % 2)[:, None]).all()


@pytest.mark.parametrize("optimiser", list(recae.training.OPTIMISERS))
def test_the_unit_vectors_kept_for_scoring_follow_the_weights(optimiser: str) -> None:
    encoder = UnitRows(9, 4)
    encoder.initialise(torch.Generator().manual_seed(1))
    step = recae.training.OPTIMISERS[optimiser]([([encoder.weight], 0.0)], 0.1)

    def update() -> None:
        encoder.train()
        encoder.weight.grad = torch.ones_like(encoder.weight)
        step.step()
        encoder.eval()

    encoder.eval()
    for change in (
        update,
        lambda: encoder.load_state_dict({"weight": torch.ones(9, 4)}),
        encoder.double,
    ):
        with torch.no_grad():
            encoder.rows()
            change()
            assert torch.equal(encoder.rows(), normalize(encoder.weight, dim=1))
            assert encoder.rows() is encoder.rows()


def test_a_copy_and_another_weight_have_vectors_of_their_own() -> None:
    first, second = UnitRows(9, 4).eval(), UnitRows(9, 4).eval()
    for seed, encoder in enumerate((first, second)):
        encoder.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        first.rows(), second.rows()
        copied = copy.deepcopy(first)
        copied.load_state_dict(second.state_dict())  # as many changes as the first has had
        assert torch.equal(copied.rows(), second.rows())
        first.load_state_dict(second.state_dict(), assign=True)
        assert torch.equal(first.rows(), second.rows())
