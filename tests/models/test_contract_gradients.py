"""The laws of training for every autoencoder: gradients are those of the loss, and reach all of it.

The objective is taken whole (corruption, code, scores, loss and penalties) on the batches that the
model's own loader deals, in float64, the noise drawn anew from one seed at every evaluation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

import recae
from recae import Interactions
from recae.models.neural._base import NeuralRecommender
from recae.nn import AutoencoderNet, Batch, Ragged
from recae.rng import Stream, torch_generator
from recae.training import Phase

USERS, ITEMS = 30, 11
UPDATES, STEP = 100, 20
DIRECTIONS, REACH, DRAWS = 3, 2e-6, 12

NEURAL = [name for name, m in recae.MODELS.items() if issubclass(m, NeuralRecommender)]
OTHERWISE = [
    *(("cdae", {"loss": loss, "negatives": 0}) for loss in ("logistic", "squared")),
    ("cdae", {"loss": "squared"}),
    ("h-vamp", {"likelihood": "multinomial"}),
    ("h-vamp", {"decoder_depth": 0}),
    ("auto-rec", {"activation": "relu"}),
    *(("sparse-ae", {"sparsity": kind}) for kind in ("l1", "kl")),
    ("vanilla-ae", {"loss": "squared"}),
    ("macrid-vae", {"draw": False}),
    ("mult-vae", {"mirror": True}),
]
"""Settings that take another way through the code than the small models do."""


@dataclass
class Problem:
    """A network in float64, its batches of one epoch, and what it minimises."""

    model: NeuralRecommender
    net: AutoencoderNet
    batches: list[Batch]

    def loss(self, batch: Batch, phase: Phase, seed: int = 7) -> Tensor:
        self.net.train()
        self.net.corrupt.train(phase.corrupt)
        scores, terms = self.net(batch, torch.Generator().manual_seed(seed))
        return self.model._objective(UPDATES)(scores, terms, batch, STEP)

    def learning(self, phase: Phase) -> Iterator[tuple[str, torch.nn.Parameter]]:
        wanted = {id(p) for p in phase.parameters(self.net)}
        return ((n, p) for n, p in self.net.named_parameters() if id(p) in wanted)


def doubled(ragged: Ragged | Tensor) -> Ragged:
    assert isinstance(ragged, Ragged)
    return ragged.with_values(ragged.values.double())


def in_float64(batch: Batch) -> Batch:
    input = doubled(batch.input)
    target = input if batch.target is batch.input else doubled(batch.target)
    return Batch(input, target, batch.rows)


@pytest.fixture(
    scope="module",
    params=[(name, {}) for name in NEURAL] + OTHERWISE,
    ids=lambda p: "-".join([p[0], *map(str, p[1].values())]),
)
def problem(request: pytest.FixtureRequest, small) -> Problem:
    """Every item is in the input of some user, and every weight is away from its first value."""
    name, changes = request.param
    model = recae.MODELS[name](**(small[name] | changes))
    assert isinstance(model, NeuralRecommender)
    matrix = sp.random(USERS, ITEMS, 0.4, format="csr", random_state=3, dtype=np.float32)
    matrix.data = np.ceil(matrix.data * 4) / 2
    net = model._network(ITEMS, USERS)
    generator = torch.Generator().manual_seed(1)
    net.initialise(generator)
    for parameter in net.parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=generator)
    loader = model._loader(matrix, None, 5)
    return Problem(model, net.double(), [in_float64(batch) for batch in loader.epoch(1)])


def test_the_gradient_is_that_of_the_objective(problem: Problem) -> None:
    batch, generator = problem.batches[0], torch.Generator().manual_seed(2)
    for phase in problem.model._phases():
        learning = dict(problem.learning(phase))
        gradients = torch.autograd.grad(problem.loss(batch, phase), list(learning.values()))
        for (name, parameter), gradient in zip(learning.items(), gradients, strict=True):
            for _ in range(DIRECTIONS):
                direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                sides = []
                for sign in (1, -1):
                    with torch.no_grad():
                        parameter += sign * REACH * direction
                        sides.append(problem.loss(batch, phase).item())
                        parameter -= sign * REACH * direction
                slope = (sides[0] - sides[1]) / (2 * REACH)
                found = (gradient * direction).sum().item()
                assert found == pytest.approx(slope, rel=1e-5, abs=1e-7), name


def test_every_number_that_should_learn_has_a_gradient(problem: Problem) -> None:
    met = set()
    for phase in problem.model._phases():
        learning = dict(problem.learning(phase))
        met |= set(learning)
        total = {name: torch.zeros_like(p) for name, p in learning.items()}
        for seed, batch in itertools.product(range(DRAWS), problem.batches):  # dropout hides some
            loss = problem.loss(batch, phase, seed)
            gradients = torch.autograd.grad(loss, list(learning.values()))
            for name, gradient in zip(learning, gradients, strict=True):
                total[name] += gradient.abs()
        for name, gradient in total.items():
            if name.endswith("shallow.weight"):  # its diagonal is taken off: nothing can copy
                assert (gradient.diagonal() < 1e-14).all()
                gradient.fill_diagonal_(1)
            settings = problem.model.get_params()
            if settings.get("activation") == "relu" or settings.get("sparsity") in ("l1", "top-k"):
                # A unit may be off.
                gradient = gradient.sum()
            if name == "code.prior.inputs":  # one that noise has moved below 0 is clamped
                gradient = gradient[learning[name] > 0]
            assert (gradient > 0).all(), name
    assert met == {name for name, p in problem.net.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", NEURAL)
def test_training_moves_every_tensor(name: str, small, text_data: Interactions) -> None:
    model = recae.MODELS[name](**small[name]).fit(text_data, seed=3)
    assert isinstance(model, NeuralRecommender)
    start = model._network(text_data.n_items, text_data.n_users)
    start.initialise(torch_generator(3, Stream.WEIGHTS))
    before = dict(start.named_parameters())
    still = [
        name
        for name, parameter in model.network_.named_parameters()
        if parameter.requires_grad and torch.equal(parameter, before[name])
    ]
    assert still == []
