"""A batch in parts has the loss and the gradient of the whole; running out of memory is said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch
from recae.rng import torch_generator
from recae.training import Accumulation, SampledLoader, SparseLoader
from recae.training.objective import Objective, split

MATRIX = sp.random(40, 25, 0.2, "csr", dtype=np.float32, random_state=np.random.default_rng(2))
OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)


def batch(rows: int = 11, target: bool = False) -> Batch:
    loader = SparseLoader(MATRIX, MATRIX * np.float32(3) if target else None, 100, seed=0)
    return loader.batch(np.flatnonzero(MATRIX.getnnz(axis=1))[:rows])


class Training:
    """A Mult-VAE whose step fails for more than `fitting` rows, as a full GPU's would."""

    def __init__(self, fitting: int, dropout: float = 0.0, model=recae.MultDAE, **settings) -> None:
        self.net = model(latent=5, dropout=dropout, **settings)._network(25, 40)
        self.net.initialise(torch_generator(1))
        self.net.train()
        self.parameters = list(self.net.parameters())
        self.noise, self.fitting, self.tried = torch_generator(2), fitting, []
        weights = {"kl": 0.2} if model is recae.MultVAE else {}
        self.objective = Objective("multinomial", weights)

    def loss(self, some: Batch) -> torch.Tensor:
        self.tried.append(len(some))
        scores, terms = self.net(some, self.noise)
        if len(some) > self.fitting:
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.objective(scores, terms, some, 0)

    def gradients(self) -> list[np.ndarray]:
        return [parameter.grad.numpy().copy() for parameter in self.parameters]


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
@pytest.mark.parametrize("target", [False, True])
def test_the_parts_are_the_rows_of_the_batch(parts: int, target: bool) -> None:
    whole = batch(target=target)
    cut = split(whole, parts)
    assert len(cut) == parts and max(map(len, cut)) - min(map(len, cut)) <= 1
    assert torch.cat([part.rows for part in cut]).tolist() == whole.rows.tolist()
    for side in ("input", "target"):
        stacked = type(whole.input).stack([getattr(part, side) for part in cut])
        for name in ("indices", "offsets", "values"):
            assert torch.equal(getattr(stacked, name), getattr(getattr(whole, side), name))
    assert all((part.target is part.input) is not target for part in cut)


def test_dense_batches_are_cut_too() -> None:
    numbers = torch.arange(14.0).reshape(7, 2)
    first, second = split(Batch(numbers, numbers), 2)
    assert first.input.tolist() == numbers[:3].tolist() and second.target is second.input
    with pytest.raises(ValueError, match="7 rows .* 8 parts"):
        split(Batch(numbers, numbers), 8)


def test_sparse_gradients_in_parts_have_every_row_once() -> None:
    loader = SampledLoader(MATRIX, None, 11, seed=0, samples=6)
    (drawn, *_) = loader.epoch(1)
    whole, parts = (Training(rows, softmax="sampled", num_sampled=6) for rows in (11, 3))
    for made in (whole, parts):
        made.net.encoder[0].sparse = True
    Accumulation().backward(drawn, whole.loss, whole.parameters, whole.noise)
    with pytest.warns(recae.RecaeWarning, match="memory"):
        Accumulation().backward(drawn, parts.loss, parts.parameters, parts.noise)
    sparse = 0
    for one, other in zip(parts.parameters, whole.parameters, strict=True):
        if one.grad.is_sparse:
            sparse += 1
            rows = one.grad._indices()[0]
            assert one.grad.is_coalesced() and (rows[1:] > rows[:-1]).all()
        torch.testing.assert_close(one.grad.to_dense(), other.grad.to_dense(), rtol=1e-4, atol=1e-7)
    assert sparse == 3  # the first layer, and weights and biases of the last


def test_the_gradient_in_parts_is_that_of_the_whole() -> None:
    whole, parts = Training(11), Training(3)
    expected = Accumulation().backward(batch(), whole.loss, whole.parameters, whole.noise)
    ours = Accumulation()
    with pytest.warns(recae.RecaeWarning, match="users .*memory .*cpu"):
        found = ours.backward(batch(), parts.loss, parts.parameters, parts.noise)
    assert ours.rows == 3 and parts.tried == [11, 5, 2, 3, 3, 3]
    assert not found.requires_grad
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for one, other in zip(parts.gradients(), whole.gradients(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-8)


def test_what_was_learnt_of_the_memory_is_kept() -> None:
    training, ours = Training(6), Accumulation(rows=6)
    ours.backward(batch(), training.loss, training.parameters, training.noise)
    ours.backward(batch(4), training.loss, training.parameters, training.noise)
    assert training.tried == [5, 6, 4]  # a batch that fits is not cut


def test_noise_is_drawn_as_if_nothing_had_failed() -> None:
    failed = Training(6, dropout=0.5, model=recae.MultVAE)
    other = Training(6, dropout=0.5, model=recae.MultVAE)
    with pytest.warns(recae.RecaeWarning):
        one = Accumulation().backward(batch(), failed.loss, failed.parameters, failed.noise)
    two = Accumulation(rows=6).backward(batch(), other.loss, other.parameters, other.noise)
    assert one == two and torch.equal(failed.noise.get_state(), other.noise.get_state())
    for a, b in zip(failed.gradients(), other.gradients(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_from_before_do_not_count() -> None:
    training = Training(11)
    ours = Accumulation()
    for _ in range(2):
        ours.backward(batch(), training.loss, training.parameters, training.noise)
    once = Training(11)
    Accumulation().backward(batch(), once.loss, once.parameters, once.noise)
    for a, b in zip(training.gradients(), once.gradients(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_errors_and_a_user_too_many_are_raised() -> None:
    training = Training(0)
    with (
        pytest.warns(recae.RecaeWarning),
        pytest.raises(recae.errors.CapacityError, match="one user .*memory .*cpu"),
    ):
        Accumulation().backward(batch(), training.loss, training.parameters, training.noise)

    def broken(some: Batch) -> torch.Tensor:
        raise RuntimeError("other shapes")

    with pytest.raises(RuntimeError, match="other shapes"):
        Accumulation().backward(batch(), broken, training.parameters, training.noise)
