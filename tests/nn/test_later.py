"""Gradients of wide weights that the optimiser forms some rows at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

import recae
from recae.nn import InputLinear, LinearHead, Ragged
from recae.nn.heads import LOSSES
from recae.nn.later import Later, bag_later, formed_later, later_of, wide_weights
from recae.training import OPTIMISERS, loop

ROWS, ITEMS, WIDTH = 5, 11, 6
GENERATOR = np.random.default_rng(3)
HISTORIES = sp.csr_matrix(
    np.where(GENERATOR.random((ROWS, ITEMS)) < 0.4, GENERATOR.random((ROWS, ITEMS)), 0)
)
MATRIX = sp.csr_matrix((GENERATOR.random((60, 24)) < 0.25) * 1.0)


@pytest.fixture(autouse=True)
def however_small(monkeypatch) -> None:
    monkeypatch.setattr("recae.nn.later.LARGE", 1)


BLOCKS = [[slice(0, ITEMS)], [slice(0, 4), slice(4, 5), slice(5, ITEMS)]]


def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(GENERATOR.normal(size=shape)).float())


def later_rows(weight: Tensor, blocks: list[slice]) -> Tensor:
    later = later_of(weight)
    assert later is not None and later.parts and weight.grad is None
    return torch.cat([later.rows(some) for some in blocks])


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("factor", [1.0, -2.5])
@pytest.mark.parametrize("narrow", [None, torch.bfloat16])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_gradient_of_the_last_layer(kind, narrow, factor, blocks) -> None:
    hidden, weight, bias = parameter(ROWS, WIDTH), parameter(ITEMS, WIDTH), parameter(ITEMS)
    target = Ragged.from_csr(HISTORIES)

    def backward() -> None:
        for each in (hidden, bias):
            each.grad = None
        (factor * LOSSES[kind](hidden, weight, bias, target, narrow, None)).backward()

    backward()
    expected = weight.grad, hidden.grad, bias.grad
    weight.grad = None
    with formed_later([weight]):
        backward()
        found = later_rows(weight, blocks), hidden.grad, bias.grad
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert later_of(weight) is None


def test_a_batch_of_more_rows_than_units_forms_the_smaller_gradient_at_once() -> None:
    weight = parameter(ITEMS, ROWS - 1)
    with formed_later([weight]):
        target = Ragged.from_csr(HISTORIES)
        LOSSES["multinomial"](
            parameter(ROWS, ROWS - 1), weight, parameter(ITEMS), target
        ).backward()
        assert later_of(weight).parts == [] and weight.grad is not None


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_gradient_of_the_first_layer(blocks) -> None:
    weight, x = parameter(ITEMS, WIDTH), Ragged.from_csr(HISTORIES)
    upstream = torch.from_numpy(GENERATOR.normal(size=(ROWS, WIDTH))).float()
    dense = torch.from_numpy(HISTORIES.toarray()).float()
    with formed_later([weight]):
        summed = bag_later(weight, x)
        torch.testing.assert_close(summed, dense @ weight)
        summed.backward(upstream)
        torch.testing.assert_close(later_rows(weight, blocks), dense.t() @ upstream)


def test_of_a_batch_that_is_cut_one_part_waits_at_most() -> None:
    weight, bias = parameter(ITEMS, WIDTH), parameter(ITEMS)
    target = Ragged.from_csr(HISTORIES)
    with formed_later([weight]):
        for _ in range(3):
            LOSSES["squared"](parameter(ROWS, WIDTH), weight, bias, target).backward()
        assert len(later_of(weight).parts) == 1 and weight.grad is not None


def test_a_weight_of_two_layers_is_one_weight() -> None:
    layers = torch.nn.ModuleList([InputLinear(ITEMS, WIDTH), LinearHead(WIDTH, ITEMS)])
    layers[1].weight = layers[0].weight
    with formed_later(wide_weights(layers)):
        assert later_of(layers[0].weight) is not None
    assert later_of(layers[0].weight) is None


def test_small_weights_are_left_alone(monkeypatch) -> None:
    layer = InputLinear(ITEMS, WIDTH)
    assert len(wide_weights(layer)) == 1
    monkeypatch.setattr("recae.nn.later.LARGE", ITEMS * WIDTH + 1)
    assert wide_weights(layer) == []


def test_parts_are_added_up_and_none_is_changed() -> None:
    later, kept = Later(), torch.ones(ITEMS, WIDTH)
    later.parts += [lambda some: 2 * kept[some], lambda some: kept[some]]
    for _ in range(2):
        assert torch.equal(later.rows(slice(2, 5)), torch.full((3, WIDTH), 3.0))


@pytest.mark.parametrize("optimiser", ["adam", "nadam", "adagrad"])
@pytest.mark.parametrize("also_whole", [False, True])
def test_an_update_is_that_by_the_whole_gradient(optimiser, also_whole, monkeypatch) -> None:
    monkeypatch.setattr("recae.training.optimisers.ROW_CELLS", 2 * WIDTH)
    whole, weight = parameter(ITEMS, WIDTH), parameter(ITEMS, WIDTH)
    weight.data.copy_(whole.data)
    steps = [OPTIMISERS[optimiser]([([each], 0.1)], 0.05) for each in (whole, weight)]
    with formed_later([weight]):
        later = later_of(weight)
        for _ in range(4):
            slope, other = (torch.from_numpy(GENERATOR.normal(size=whole.shape)) for _ in range(2))
            slope, other = slope.float(), other.float()
            whole.grad = slope + other if also_whole else slope
            later.parts[:] = [lambda some, slope=slope: slope[some].clone()]
            weight.grad = other if also_whole else None
            for step in steps:
                step.step()
    torch.testing.assert_close(weight, whole)
    for one, other in zip(*(step.moments()[0].values() for step in steps), strict=True):
        torch.testing.assert_close(one, other)


MODELS = [
    recae.MultVAE(latent=8, hidden=(12,), dropout=0.3),
    recae.MultDAE(latent=16, optimiser="nadam", l2=0.01),
    recae.MultDAE(latent=16, optimiser="adagrad"),
    recae.RecVAE(latent=10, width=12, depth=2),
    recae.MacridVAE(latent=3, width=12, concepts=3),  # whose input has a gradient
    recae.VanillaAE(latent=16),
    recae.AutoRec(latent=16),
    recae.MultDAE(latent=16, optimiser="normalised-adam"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.name}-{model.optimiser}")
def test_a_fit_is_that_with_gradients_at_once(model, monkeypatch) -> None:
    model = model.clone().set_params(batch_size=7, epochs=4)
    if "precision" in model.get_params():
        model.set_params(precision="float32")
    found = model.fit(MATRIX, device="cpu", progress=False)
    monkeypatch.setattr(loop, "wide_weights", lambda net: [])
    expected = model.clone().fit(MATRIX, device="cpu", progress=False)
    np.testing.assert_allclose(found.score(MATRIX), expected.score(MATRIX), rtol=1e-4, atol=1e-4)
    for one, other in zip(found.epochs_, expected.epochs_, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)


def test_a_fit_forms_no_gradient_as_large_as_a_wide_weight_and_leaves_none(monkeypatch) -> None:
    seen = []

    def step(optimiser) -> None:
        seen.extend(each.grad for each in optimiser.parameters if len(each) == MATRIX.shape[1])
        before(optimiser)

    before = OPTIMISERS["adam"].step
    monkeypatch.setattr(OPTIMISERS["adam"], "step", step)
    model = recae.MultVAE(latent=12, hidden=(12,), batch_size=10, epochs=1)
    model.fit(MATRIX, device="cpu", progress=False)
    wide = wide_weights(model.network_)
    assert len(wide) == 2
    # The biases of the last layer are as many as the items, too.
    assert [grad.dim() for grad in seen if grad is not None] == [1] * (len(seen) // 3)
    for each in model.network_.parameters():
        assert each.grad is None and later_of(each) is None
