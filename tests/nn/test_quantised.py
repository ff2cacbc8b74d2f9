"""Quantised codes against scipy's logistic distribution and arithmetic."""

import numpy as np
import pytest
import torch
from scipy.stats import logistic

from recae.nn import Batch, LogisticMixture, Quantised

NOTHING = Batch(torch.zeros(1), torch.zeros(1))


def mixture() -> LogisticMixture:
    found = LogisticMixture(2, components=2)
    with torch.no_grad():
        found.means.copy_(torch.tensor([[0.3, -2.0], [5.0, 0.0]]))
        found.log_scales.copy_(torch.tensor([[0.5, 1.5], [0.2, 3.0]]).log())
        found.logits.copy_(torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log())
    return found


def test_probabilities_are_those_of_scipys_logistic() -> None:
    k = np.array([[-3.0, 0.0], [0.25, 5.0], [2.0, 40.0]])
    expected = np.zeros((3, 2))
    for place, parts in enumerate(
        [[(0.25, 0.3, 0.5), (0.75, -2.0, 1.5)], [(0.5, 5.0, 0.2), (0.5, 0.0, 3.0)]]
    ):
        for share, mean, scale in parts:
            upper, lower = (logistic.sf(k[:, place] + d, mean, scale) for d in (-0.5, 0.5))
            expected[:, place] += share * (upper - lower)
    found = mixture().probabilities(torch.from_numpy(k).float()).detach()
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    bits = mixture().bits(torch.from_numpy(k).float()).detach()
    np.testing.assert_allclose(bits, -np.log2(expected).sum(1), rtol=2e-3)


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_all_probabilities_add_up_to_one(width: float) -> None:
    k = torch.arange(-200, 200)[:, None] * width * torch.ones(2)
    torch.testing.assert_close(mixture().probabilities(k, width).sum(0), torch.ones(2))


def test_evaluation_rounds_to_steps_and_training_adds_noise_of_one_step() -> None:
    code = Quantised(2)
    code.prior.initialise(torch.Generator())
    code.step.fill_(0.5)
    hidden = torch.tensor([[0.2, -0.3], [0.74, 0.76]])
    z, terms = code.eval()(hidden, NOTHING, None)
    assert z.tolist() == [[0.0, -0.5], [0.5, 1.0]] and terms == {}
    z, terms = code.train()(hidden.repeat(4000, 1), NOTHING, torch.Generator().manual_seed(0))
    noise = (z - hidden.repeat(4000, 1)).flatten()
    assert noise.abs().max() <= 0.25 + 1e-6
    assert abs(noise.mean()) < 0.005 and abs(noise.var() - 0.25 / 12) < 0.001
    assert terms["bits"].shape == (8000,)
    torch.testing.assert_close(terms["bits"], code.prior.bits(z / 0.5))
    assert code.spent is not None
    torch.testing.assert_close(code.spent, terms["bits"].detach().mean())
    code.rounds = True
    z, terms = code(hidden, NOTHING, None)
    assert z.tolist() == [[0.0, -0.5], [0.5, 1.0]] and terms == {}


def test_bits_of_noisy_codes_agree_with_the_entropy_of_rounded_ones() -> None:
    # Numbers that spread over many steps: the two then differ by next to nothing, and both are the
    # entropy of the logistic, ln(s) + 2 nats (s its scale).
    scale, rows = 5.0, 20_000
    code = Quantised(1, components=1)
    with torch.no_grad():
        code.prior.means.zero_()
        code.prior.log_scales.fill_(np.log(scale))
        code.prior.logits.zero_()
    drawn = logistic.rvs(scale=scale, size=(rows, 1), random_state=0)
    hidden = torch.from_numpy(drawn).float()
    _, terms = code(hidden, NOTHING, torch.Generator().manual_seed(0))
    noisy = float(terms["bits"].detach().mean())
    rounded = float(code.prior.bits(code.numbers(hidden)).detach().mean())
    counts = np.unique(np.round(drawn), return_counts=True)[1] / rows
    assert noisy == pytest.approx(float(-(counts * np.log2(counts)).sum()), abs=0.02)
    assert noisy == pytest.approx(rounded, abs=0.01)
    assert noisy == pytest.approx((np.log(scale) + 2) / np.log(2), abs=0.03)


def test_gradients_are_those_of_finite_differences() -> None:
    torch_double = mixture().double()
    k = torch.tensor([[-3.1, 0.2], [0.3, 5.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(torch_double.bits, (k,))
