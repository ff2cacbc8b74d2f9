"""The sampled softmax against its formula, and against the softmax that it stands for."""

import pytest
import scipy.sparse as sp
import torch

from recae.nn import Ragged, Sample
from recae.nn import heads as losses
from recae.nn.batch import bag, sparse_bag
from recae.nn.sampled import sampled_multinomial_loss

ROWS, ITEMS, WIDTH = 7, 11, 3


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((ROWS, WIDTH), (ITEMS, WIDTH), (ITEMS,))
    )


def target(weighted: bool = True) -> Ragged:
    matrix = sp.random(ROWS, ITEMS, 0.3, format="csr", random_state=0)
    matrix.data = matrix.data + 0.5 if weighted else matrix.data**0
    ragged = Ragged.from_csr(matrix)
    return ragged.with_values(ragged.values.double())


def dense(ragged: Ragged) -> torch.Tensor:
    out = torch.zeros(len(ragged), ragged.n_columns, dtype=torch.float64)
    out[ragged.rows, ragged.indices] = ragged.values
    return out


def sample() -> Sample:
    """The items of the rows, and more; some drawn with certainty."""
    chances = torch.linspace(0.05, 1.0, ITEMS)
    items = torch.unique(torch.cat([torch.tensor([0, 7, 10]), target().indices]))
    return Sample(items, chances[items].log())


def formula(hidden, weight, bias, x: torch.Tensor, drawn: Sample) -> torch.Tensor:
    f = hidden @ weight.T + bias
    share = torch.zeros(ITEMS, dtype=torch.float64)
    share[drawn.items] = (-drawn.log_chances.double()).exp()
    share = torch.where(x > 0, 1.0, share)  # what a row has counts once, drawn or not
    log_z = (f.exp() * share).sum(1).log()
    return (x * (log_z[:, None] - f)).sum(1).mean()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cells", [1, 12, 1 << 20])
def test_the_loss_and_its_gradients_are_those_of_the_formula(
    weighted: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recae.nn.sampled.LOGIT_CELLS", cells)
    monkeypatch.setattr("recae.nn.sampled.ENTRY_CELLS", cells)
    given, x = problem(), target(weighted)
    expected = formula(*given, dense(x), sample())
    loss = sampled_multinomial_loss(*given, x, sample())
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(expected, given)
    for got, dense_gradient in zip(torch.autograd.grad(3 * loss, given), wanted, strict=True):
        torch.testing.assert_close(got.to_dense(), 3 * dense_gradient, atol=1e-7, rtol=1e-6)


def test_a_sample_of_everything_is_the_softmax_over_everything() -> None:
    given, x = problem(), target()
    everything = Sample(torch.arange(ITEMS), torch.zeros(ITEMS))
    whole = losses.multinomial_loss(*given, x)
    sampled = sampled_multinomial_loss(*given, x, everything)
    torch.testing.assert_close(sampled, whole)


def test_a_target_with_a_sample_asks_for_the_sampled_loss() -> None:
    given, x = problem(), target()
    with_sample = Ragged(x.indices, x.offsets, x.values, x.n_columns, sample())
    loss = losses.multinomial_loss(*given, with_sample)
    torch.testing.assert_close(loss, formula(*given, dense(x), sample()))


def test_the_gradient_holds_the_rows_that_were_met_and_no_others() -> None:
    given, x = problem(), target()
    _, weight, bias = torch.autograd.grad(sampled_multinomial_loss(*given, x, sample()), given)
    assert weight.coalesce().indices()[0].tolist() == sample().items.tolist()
    assert bias.coalesce().indices()[0].tolist() == sample().items.tolist()


def test_rows_that_have_the_whole_sample_still_have_a_loss() -> None:
    x = Ragged.from_csr(sp.csr_matrix([[1.0, 1.0, 0.0]]))
    drawn = Sample(torch.tensor([0, 1]), torch.tensor([0.5, 0.5]).log())
    loss = sampled_multinomial_loss(torch.zeros(1, 2), torch.zeros(3, 2), torch.zeros(3), x, drawn)
    assert loss.item() == pytest.approx(2 * torch.tensor(2.0).log().item())


def test_the_encoder_alone_may_learn() -> None:
    given, x = problem(), target()
    hidden, weight, bias = given
    (whole, *_) = torch.autograd.grad(sampled_multinomial_loss(*given, x, sample()), given)
    loss = sampled_multinomial_loss(hidden, weight.detach(), bias.detach(), x, sample())
    torch.testing.assert_close(torch.autograd.grad(loss, hidden)[0], whole)


@pytest.mark.parametrize("given", [losses.multinomial_loss, losses.logistic_loss])
def test_products_in_bfloat16_stay_within_its_rounding(given) -> None:
    """It keeps 8 bits: a product is off by some 2^-8 of its size, more where terms cancel."""
    numbers, x = problem(torch.float32), target()
    x = x.with_values(x.values.float())
    exact, rounded = given(*numbers, x), given(*numbers, x, torch.bfloat16)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0, rtol=0.01)
    for a, b in zip(
        torch.autograd.grad(exact, numbers), torch.autograd.grad(rounded, numbers), strict=True
    ):
        assert (a - b).norm() < 0.02 * a.norm()
        assert not torch.equal(a, b)


def test_products_of_the_sampled_loss_in_bfloat16_too() -> None:
    numbers, x = problem(torch.float32), target()
    x = x.with_values(x.values.float())
    exact = sampled_multinomial_loss(*numbers, x, sample())
    rounded = sampled_multinomial_loss(*numbers, x, sample(), torch.bfloat16)
    torch.testing.assert_close(rounded, exact, atol=0, rtol=0.01)
    assert not torch.equal(rounded, exact)


def test_a_sparse_bag_has_the_gradient_of_the_plain_one() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(ITEMS, WIDTH, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
    x = target()
    assert torch.equal(sparse_bag(weight, x), bag(weight, x))
    torch.testing.assert_close(bag(weight, x), dense(x) @ weight)
    (sparse,) = torch.autograd.grad((sparse_bag(weight, x) * upstream).sum(), weight)
    torch.testing.assert_close(sparse.to_dense(), dense(x).T @ upstream)
    assert sparse.coalesce().indices()[0].tolist() == sorted(set(x.indices.tolist()))
