"""Products of sigmoids and the focal loss against their formulas written out."""

from __future__ import annotations

import pytest
import scipy.sparse as sp
import torch

from recae.nn import Batch, ProductDecoder, Ragged, ZeroDiagonal, mlp
from recae.nn.vasp import DenseScores, ProductScores

X = sp.random(6, 9, 0.4, format="csr", random_state=2)
X.data[:] = 1


def ragged() -> Ragged:
    found = Ragged.from_csr(X)
    return found.with_values(found.values.double())


def logits(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 9, generator=generator, dtype=torch.float64, requires_grad=True)


def focal(p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2017, eq. 5, with alpha 1/4 and gamma 2, summed over items, averaged over rows."""
    has = -0.25 * (1 - p) ** 2 * torch.log(p)
    has_not = -0.75 * p**2 * torch.log(1 - p)
    return torch.where(x > 0, has * x, has_not).sum(1).mean()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_the_loss_is_the_focal_loss_of_the_product(n: int, weight: float) -> None:
    parts = [logits(seed) for seed in range(n)]
    target = ragged().with_values(ragged().values * weight)
    x = torch.from_numpy(X.toarray()) * weight
    p = torch.stack([part.sigmoid() for part in parts]).prod(0)
    lazy = ProductScores([DenseScores(part) for part in parts])
    torch.testing.assert_close(lazy.dense(), p.log())
    loss, expected = lazy.loss("focal", target), focal(p, x)
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(
        torch.autograd.grad(loss, parts), torch.autograd.grad(expected, parts), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_gradients_agree_with_finite_differences() -> None:
    def loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ProductScores([DenseScores(a), DenseScores(b)]).loss("focal", ragged())

    assert torch.autograd.gradcheck(loss, (logits(1), logits(2)))


@pytest.mark.parametrize("size", [60.0, -60.0])
def test_certainty_does_not_break_the_loss(size: float) -> None:
    part = torch.full((6, 9), size, requires_grad=True)
    target = Ragged.from_csr(X)
    loss = ProductScores([DenseScores(part)]).loss("focal", target)
    loss.backward()
    assert loss.isfinite() and part.grad.isfinite().all()


def test_the_shallow_path_cannot_copy() -> None:
    layer = ZeroDiagonal(9).double()
    layer.initialise(torch.Generator().manual_seed(0))
    x = torch.from_numpy(X.toarray())
    weights = layer.weight.detach().clone().fill_diagonal_(0)
    for read in (x, ragged()):
        torch.testing.assert_close(layer(read).dense(), x @ weights)
    layer(ragged()).dense().square().sum().backward()
    diagonal = layer.weight.grad.diagonal()
    torch.testing.assert_close(diagonal, torch.zeros_like(diagonal))


def test_the_decoder_multiplies_what_it_has() -> None:
    batch = Batch(ragged(), ragged())
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    deep = ProductDecoder(9, deep=mlp((4, 5)), widths=(5, 4), shallow=True).double()
    generator = torch.Generator().manual_seed(0)
    for part in deep.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    hidden = deep.deep(z)
    parts = [
        hidden @ deep.head.weight.T + deep.head.bias,
        z @ deep.from_code.weight.T + deep.from_code.bias,
        deep.shallow(batch.input).dense(),
    ]
    product = torch.stack([part.sigmoid() for part in parts]).prod(0)
    torch.testing.assert_close(deep(z, batch).dense().exp(), product)


def test_narrow_products_are_for_the_loss_alone() -> None:
    generator = torch.Generator().manual_seed(5)
    x = Ragged.from_csr(X)
    batch = Batch(x, x)
    decoder = ProductDecoder(9, deep=mlp((4, 5)), widths=(5, 4), shallow=True)
    for part in decoder.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    z = torch.randn(6, 4, generator=generator)
    losses, slopes = [], []
    for products in (None, torch.bfloat16):
        decoder.head.products = decoder.from_code.products = products
        loss = decoder(z, batch).loss("focal", x)
        losses.append(loss.detach())
        slopes.append(torch.autograd.grad(loss, [decoder.head.weight])[0])
        dense = decoder(z, batch).dense().detach()
    assert dense.dtype == slopes[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=0)
    assert not torch.equal(losses[1], losses[0])
    assert torch.cosine_similarity(slopes[0].flatten(), slopes[1].flatten(), 0) > 0.999
    decoder.head.products = decoder.from_code.products = None
    assert torch.equal(decoder(z, batch).dense(), dense)
