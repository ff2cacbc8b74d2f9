"""The Gaussian code against torch.distributions."""

import scipy.sparse as sp
import torch
from torch.distributions import Normal, kl_divergence

from recae.nn import Batch, Gaussian, Ragged


def test_kl_is_the_closed_form_and_the_noise_has_the_stated_spread() -> None:
    rows = 4000
    code = Gaussian(3, 2)
    for layer in (code.mu, code.log_variance):
        layer.initialise(torch.Generator().manual_seed(0))
    ragged = Ragged.from_csr(sp.csr_matrix((rows, 5)))
    hidden = torch.tensor([[0.3, -1.0, 0.7]]).repeat(rows, 1)
    z, terms = code(hidden, Batch(ragged, ragged), torch.Generator())
    posterior = Normal(code.mu(hidden), (0.5 * code.log_variance(hidden)).exp())
    torch.testing.assert_close(terms["kl"], kl_divergence(posterior, Normal(0.0, 1.0)).sum(1))
    standard = (z - posterior.mean) / posterior.stddev
    assert abs(standard.mean().item()) < 0.05 and abs(standard.std().item() - 1) < 0.05


def test_in_evaluation_the_code_is_the_mean() -> None:
    code = Gaussian(3, 2).eval()
    code.mu.initialise(torch.Generator().manual_seed(0))
    hidden = torch.ones(1, 3)
    ragged = Ragged.from_csr(sp.csr_matrix((1, 5)))
    z, terms = code(hidden, Batch(ragged, ragged), None)
    assert torch.equal(z, code.mu(hidden)) and terms == {}


def test_the_divergence_is_the_average_over_the_codes_drawn() -> None:
    # Monte Carlo over the very codes it returns: the mean of log q(z) - log p(z) is the divergence.
    rows = 40_000
    code = Gaussian(3, 2)
    for layer in (code.mu, code.log_variance):
        layer.initialise(torch.Generator().manual_seed(0))
    ragged = Ragged.from_csr(sp.csr_matrix((rows, 5)))
    hidden = torch.tensor([[0.3, -1.0, 0.7]]).repeat(rows, 1)
    z, terms = code(hidden, Batch(ragged, ragged), torch.Generator().manual_seed(1))
    posterior = Normal(code.mu(hidden), (0.5 * code.log_variance(hidden)).exp())
    ratio = (posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = ratio.std().item() / rows**0.5
    assert abs(ratio.mean().item() - terms["kl"][0].item()) < 4 * error
