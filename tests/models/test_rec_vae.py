"""RecVAE: who learns when, and what its loss is made of."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch, Ragged
from recae.training import SparseLoader, train
from recae.training.plan import Plan

X = sp.random(30, 14, 0.3, format="csr", random_state=4, dtype=np.float32)
X.data[:] = 1


def test_encoder_and_decoder_learn_in_turns() -> None:
    model = recae.RecVAE(latent=3, width=5, depth=2, encoder_epochs=2)
    net = model._network(14, 30)
    loader = SparseLoader(X, None, 10, 0)
    seen: list[dict[str, torch.Tensor]] = []

    def look() -> dict[str, float]:
        seen.append({name: p.detach().clone() for name, p in net.named_parameters()})
        return {"m": float(len(seen))}  # every epoch is the best so far

    plan = Plan(6, 0.01, 0.0, "m", 99, phases=model._phases())
    cpu = torch.device("cpu")
    train(net, loader, model._objective(9), plan, seed=0, device=cpu, validate=look)
    learnt = [
        {
            ".".join(name.split(".")[: 2 if ".prior." in name else 1])
            for name in after
            if not torch.equal(before[name], after[name])
        }
        for before, after in zip(seen, seen[1:], strict=False)
    ]
    # Epochs 2 to 6, two of the encoder for one of the decoder; the prior is renewed with the third.
    both = {"encoder", "code"}
    assert learnt == [both, {"decoder"}, both | {"code.prior"}, both, {"decoder"}]


def test_a_longer_history_weighs_its_divergence_more() -> None:
    model = recae.RecVAE(latent=3, width=5, gamma=0.01)
    ragged = Ragged.from_csr(sp.csr_matrix([[1.0, 1, 1, 0], [0, 1, 0, 0]]))
    net = model._network(4, 2)
    net.initialise(torch.Generator().manual_seed(0))
    scores, _ = net(Batch(ragged, ragged), torch.Generator().manual_seed(1))
    terms = {"kl": torch.tensor([2.0, 5.0])}
    batch = Batch(ragged, ragged)
    whole = model._objective(1)(scores, terms, batch, 0)
    rest = model._objective(1)(scores, {}, batch, 0)
    expected = (0.01 * 3 * 2 + 0.01 * 1 * 5) / 2
    torch.testing.assert_close(whole - rest, torch.tensor(expected))


def test_the_memory_of_the_prior_is_not_saved(tmp_path) -> None:
    model = recae.RecVAE(latent=3, width=5, epochs=2).fit(X)
    assert not [name for name in model._arrays() if "prior" in name]
    read = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(read.score(X), model.score(X))


def test_the_widest_part_of_the_prior_keeps_far_codes_possible() -> None:
    # log-density at 30 standard deviations: of N(0, 1) -450, of the mixture some -8.
    net = recae.RecVAE(latent=1, width=2)._network(4, 2)
    net.initialise(torch.Generator().manual_seed(0))
    ragged = Ragged.from_csr(sp.csr_matrix([[1.0, 0, 0, 0]]))
    far = net.code.log_prior(torch.tensor([[30.0]]), Batch(ragged, ragged))
    wide = torch.distributions.Normal(0, torch.tensor(5.0).exp()).log_prob(torch.tensor(30.0))
    torch.testing.assert_close(far[0, 0], wide + torch.log(torch.tensor(0.1)), rtol=1e-3, atol=1e-3)
