"""Losses of dense rows against torch and numpy, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal
from torch.nn import functional as F

from recae.errors import ConfigError
from recae.nn import DENSE_LOSSES, Batch, DenseScores, InputLinear, Ragged
from tests.laws import assert_same_scores


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


OUTPUT, SHARES = 3 * numbers(6, 5), numbers(6, 5, seed=1).sigmoid()
COUNTS = (4 * numbers(6, 5, seed=2)).abs().round()


def test_squared_is_the_sum_of_squares() -> None:
    expected = np.square(OUTPUT.numpy() - COUNTS.numpy()).sum(1)
    assert np.allclose(DENSE_LOSSES["squared"](OUTPUT, COUNTS), expected)


def test_logistic_is_the_cross_entropy() -> None:
    f, x = OUTPUT.numpy(), SHARES.numpy()
    expected = (np.logaddexp(0, f) - x * f).sum(1)
    assert np.allclose(DENSE_LOSSES["logistic"](OUTPUT, SHARES), expected)
    ones = (SHARES > 0.5).double()
    likelihood = Bernoulli(logits=OUTPUT).log_prob(ones).sum(1)
    assert torch.allclose(DENSE_LOSSES["logistic"](OUTPUT, ones), -likelihood)


def test_multinomial_counts_logarithms_of_shares() -> None:
    shares = np.exp(OUTPUT.numpy()) / np.exp(OUTPUT.numpy()).sum(1, keepdims=True)
    expected = -(COUNTS.numpy() * np.log(shares)).sum(1)
    assert np.allclose(DENSE_LOSSES["multinomial"](OUTPUT, COUNTS), expected)


def test_gaussian_is_the_likelihood_under_the_variance_that_suits_best() -> None:
    best = (OUTPUT - COUNTS).square().mean().sqrt()
    expected = -Normal(OUTPUT, best).log_prob(COUNTS).sum(1)
    found = DENSE_LOSSES["gaussian"](OUTPUT, COUNTS)
    assert torch.allclose(found, expected)
    for other in (0.9 * best, 1.1 * best):
        assert found.sum() < -Normal(OUTPUT, other).log_prob(COUNTS).sum()
    assert torch.isfinite(DENSE_LOSSES["gaussian"](COUNTS, COUNTS)).all()


def test_cosine_is_one_minus_the_cosine() -> None:
    f, x = OUTPUT.numpy(), COUNTS.numpy()
    cosine = (f * x).sum(1) / np.linalg.norm(f, axis=1) / np.linalg.norm(x, axis=1)
    assert np.allclose(DENSE_LOSSES["cosine"](OUTPUT, COUNTS), 1 - cosine)


@pytest.mark.parametrize("kind", DENSE_LOSSES)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    target = SHARES if kind == "logistic" else COUNTS
    output = OUTPUT.clone().requires_grad_()
    weights = numbers(6, seed=4)
    loss = DENSE_LOSSES[kind]
    assert torch.autograd.gradcheck(lambda f: (loss(f, target) * weights).sum(), (output,))


@pytest.mark.parametrize("kind", DENSE_LOSSES)
def test_images_are_rows(kind: str) -> None:
    images, target = numbers(3, 2, 4, 5), numbers(3, 2, 4, 5, seed=1).sigmoid()
    loss = DENSE_LOSSES[kind]
    assert torch.allclose(loss(images, target), loss(images.flatten(1), target.flatten(1)))


def test_scores_are_the_output() -> None:
    scores = DenseScores(OUTPUT)
    assert scores.dense() is OUTPUT
    losses = scores.losses("squared", COUNTS)
    assert losses.shape == (6,) and torch.equal(scores.loss("squared", COUNTS), losses.mean())
    with pytest.raises(ConfigError, match="'sqared'.* mean 'squared'"):
        scores.loss("sqared", COUNTS)
    ragged = Ragged(torch.zeros(0).long(), torch.zeros(2).long(), torch.zeros(0), 5)
    with pytest.raises(TypeError, match="dense target"):
        scores.loss("squared", ragged)


@pytest.mark.parametrize("n_in", [1, 5, 8, 9, 33, 70])
def test_a_dense_row_has_the_same_codes_wherever_it_stands(n_in: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for n_out in (1, 2, 5, 6, 7, 11, 15, 16, 17, 33, 70):
        layer = InputLinear(n_in, n_out)
        layer.initialise(generator)
        row = torch.randn(1, n_in, generator=generator).expand(64, -1).contiguous()
        with torch.no_grad():
            found = layer(row)
            assert_same_scores(found, found[:1].expand(64, -1))
            assert torch.allclose(found, F.linear(row, layer.weight.t(), layer.bias), atol=1e-5)


def test_a_batch_keeps_its_target() -> None:
    batch = Batch(OUTPUT, COUNTS)
    assert torch.equal(batch.target_sums(), COUNTS.sum(1))
    assert batch.with_input(COUNTS).target is COUNTS
