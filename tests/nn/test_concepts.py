"""Codes of several concepts against their formulas written out."""

from __future__ import annotations

import pytest
import scipy.sparse as sp
import torch
from torch.distributions import Normal, kl_divergence

import recae
from recae.nn import Batch, ConceptDecoder, ConceptGaussians, Concepts, DrawConcepts, Ragged
from recae.nn import macrid as mixture
from recae.nn.macrid import MixtureScores

ROWS, ITEMS, CONCEPTS, WIDTH, LATENT = 6, 9, 3, 5, 4
X = sp.random(ROWS, ITEMS, 0.4, format="csr", random_state=2)
X.data[:] = 1


def ragged() -> Ragged:
    found = Ragged.from_csr(X)
    return found.with_values(found.values.double())


def pieces() -> tuple[Concepts, ConceptGaussians]:
    encoder = Concepts(ITEMS, CONCEPTS, WIDTH, LATENT).double()
    code = ConceptGaussians(CONCEPTS, WIDTH, LATENT, 0.3).double()
    generator = torch.Generator().manual_seed(0)
    for module in (*encoder.modules(), *code.modules()):
        if hasattr(module, "initialise"):
            module.initialise(generator)
    return encoder, code


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def shares(encoder: Concepts) -> torch.Tensor:
    cosines = cosine(encoder.items.weight[:, None], encoder.prototypes[None])
    return (cosines / 0.1).exp() / (cosines / 0.1).exp().sum(1, keepdim=True)


def test_every_concept_reads_its_share_of_the_history() -> None:
    encoder, _ = pieces()
    c, x = shares(encoder), torch.from_numpy(X.toarray())
    torch.testing.assert_close(encoder.shares().exp(), c)
    expected = [
        torch.tanh((x * c[:, k]) @ encoder.read.weight + encoder.read.bias) for k in range(CONCEPTS)
    ]
    for read in (x, ragged()):
        torch.testing.assert_close(encoder(read), torch.cat(expected, 1))


def test_the_divergence_is_that_of_the_gaussians() -> None:
    encoder, code = pieces()
    hidden, batch = encoder(ragged()), Batch(ragged(), ragged())
    many = hidden[:1].repeat(4000, 1)
    z, terms = code(many, batch, torch.Generator().manual_seed(1))
    each = hidden[:1].reshape(CONCEPTS, WIDTH)
    a = code.mu(each)
    posterior = Normal(a / a.norm(dim=1, keepdim=True), 0.3 * (code.log_variance(each) / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 0.3)).sum()
    torch.testing.assert_close(terms["kl"], expected.expand(4000))
    standard = (z.reshape(4000, CONCEPTS, LATENT) - posterior.mean) / posterior.stddev
    assert abs(standard.mean().item()) < 0.05 and abs(standard.std().item() - 1) < 0.05
    code.eval()
    torch.testing.assert_close(code(hidden[:1], batch, None)[0], posterior.mean.reshape(1, -1))


def test_the_scores_are_the_mixture_and_their_loss_its_likelihood() -> None:
    encoder, _ = pieces()
    z = torch.randn(ROWS, CONCEPTS * LATENT, generator=torch.Generator().manual_seed(3)).double()
    lazy = ConceptDecoder(encoder)(z, Batch(ragged(), ragged()))
    codes, c = z.reshape(ROWS, CONCEPTS, LATENT), shares(encoder)
    near = (
        cosine(codes[:, :, None], encoder.items.weight[None, None]) / 0.1
    ).exp()  # rows, k, items
    mixture = (near * c.t()).sum(1)
    torch.testing.assert_close(lazy.dense(), mixture.log())
    x = torch.from_numpy(X.toarray())
    likelihood = ((mixture / mixture.sum(1, keepdim=True)).log() * x).sum(1).mean()
    torch.testing.assert_close(lazy.loss("multinomial", ragged()), -likelihood)


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(4)
    sizes = (ROWS, CONCEPTS, LATENT), (ITEMS, LATENT), (ITEMS, CONCEPTS)
    parts = [torch.randn(s, generator=generator).double().requires_grad_() for s in sizes]
    assert torch.autograd.gradcheck(
        lambda *given: MixtureScores(*given).loss("multinomial", ragged()), parts
    )


def test_training_draws_a_concept_for_each_item_as_often_as_it_is_expected() -> None:
    encoder, _ = pieces()
    draw, batch = DrawConcepts(encoder), Batch(ragged(), ragged())
    generator = torch.Generator().manual_seed(5)
    expected, counts = encoder.shares().exp(), torch.zeros(ITEMS, CONCEPTS)
    for _ in range(4000):
        assert draw(batch, generator) is batch
        counts += torch.nn.functional.one_hot(encoder.shares().argmax(1), CONCEPTS)
    # The largest of logits with Gumbel noise is a draw of their softmax (Gumbel 1954).
    assert (counts / 4000 - expected).abs().max() < 4 * 0.5 / 4000**0.5
    drawn = encoder.shares()
    assert torch.equal(drawn, encoder.shares())  # encoder and decoder see the same
    torch.testing.assert_close(drawn.exp().sum(1), torch.ones(ITEMS).double())
    draw.eval()
    draw(batch, None)
    torch.testing.assert_close(encoder.shares().exp(), expected)


def test_prototypes_learn_through_the_draw() -> None:
    encoder, code = pieces()
    batch = Batch(ragged(), ragged())
    generator = torch.Generator().manual_seed(6)
    DrawConcepts(encoder)(batch, generator)
    z, terms = code(encoder(batch.input), batch, generator)
    scores = ConceptDecoder(encoder)(z, batch)
    (scores.loss("multinomial", batch.target) + terms["kl"].mean()).backward()
    for module in (encoder, code):
        assert all(bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_the_likelihood_is_the_same_in_chunks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(7)
    sizes = (ROWS, CONCEPTS, LATENT), (ITEMS, LATENT), (ITEMS, CONCEPTS)
    parts = [torch.randn(s, generator=generator).double().requires_grad_() for s in sizes]
    found = []
    for cells in (mixture.CHUNK_CELLS, 2 * ITEMS * CONCEPTS):  # all rows at once, two at a time
        monkeypatch.setattr(mixture, "CHUNK_CELLS", cells)
        loss = MixtureScores(*parts).loss("multinomial", ragged())
        found.append((loss.detach(), *torch.autograd.grad(loss, parts)))
    torch.testing.assert_close(found[1], found[0])


def test_the_model_draws_unless_told_not_to() -> None:
    trained = {}
    for draw in (True, False):
        model = recae.MacridVAE(latent=4, concepts=3, width=5, epochs=1, draw=draw, dropout=0.0)
        net = model._network(ITEMS, ROWS)
        net.initialise(torch.Generator().manual_seed(0))
        batch = Batch(Ragged.from_csr(X), Ragged.from_csr(X))
        net(batch, torch.Generator().manual_seed(1))
        trained[draw] = net.encoder.shares().detach()
        net.eval()(batch)
        assert net.encoder.drawn is None
        trained[str(draw)] = net.encoder.shares().detach()
    assert torch.equal(trained[False], trained["False"])
    assert not torch.allclose(trained[True], trained["True"])
    assert torch.equal(trained["True"], trained["False"])
