"""RecVAE: who learns when, and what its loss is made of."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import ConfigError
from recae.models.neural.rec_vae import implicit_slim
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


def test_implicit_slim_overwrites_the_item_rows_before_every_so_many_rounds() -> None:
    model = recae.RecVAE(latent=3, width=5, encoder_epochs=2, slim_every=2, slim_l2=7.0)
    model.set_params(slim_alpha=0.5, slim_threshold=9)
    net, rewrite = model._network(14, 30), model._before_epoch(X)
    net.initialise(torch.Generator().manual_seed(0))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    # Rounds of three epochs: the second begins with epoch 4, the fourth with epoch 10.
    assert [epoch for epoch in range(1, 13) if rewrite(net, epoch)] == [4, 10]
    net.load_state_dict(before, strict=False)
    names = ["encoder.layers.0.weight", "decoder.head.weight"]
    assert [id(p) for p in rewrite(net, 4)] == [id(net.get_parameter(name)) for name in names]
    for name, weights in net.named_parameters():
        expected = before[name]
        if name in names:
            expected = torch.from_numpy(implicit_slim(expected.numpy(), X, 7.0, 0.5, 9))
        torch.testing.assert_close(weights.detach(), expected)


def test_implicit_slim_changes_training_from_its_first_round_on(tmp_path) -> None:
    def fitted(**params: object) -> recae.RecVAE:
        model = recae.RecVAE(latent=3, width=5, epochs=6, encoder_epochs=2, batch_size=10)
        return model.set_params(**params).fit(X)

    plain, smoothed = fitted(), fitted(slim_every=2, slim_l2=7.0)
    same = [a.loss == b.loss for a, b in zip(plain.epochs_, smoothed.epochs_, strict=True)]
    assert same == [True, True, True, False, False, False]
    again = fitted(slim_every=2, slim_l2=7.0)
    np.testing.assert_array_equal(again.score(X), smoothed.score(X))
    assert smoothed._arrays().keys() == plain._arrays().keys()
    read = recae.load(smoothed.save(tmp_path / "model"))
    np.testing.assert_array_equal(read.score(X), smoothed.score(X))


def test_settings_of_implicit_slim_that_cannot_be_are_refused() -> None:
    for name, value in (("slim_every", -1), ("slim_l2", 0), ("slim_alpha", 0.0)):
        with pytest.raises(ConfigError, match=f"{name} .*RecVAE .*> ?=? ?0"):
            recae.RecVAE(**{name: value}).fit(X)
    most = int(X.sum(axis=0).max())
    recae.RecVAE(latent=3, width=5, epochs=1, slim_every=1, slim_threshold=most).fit(X)
    with pytest.raises(ConfigError, match=f"slim_threshold .*{most + 1}.* {most} "):
        recae.RecVAE(slim_every=1, slim_threshold=most + 1).fit(X)
