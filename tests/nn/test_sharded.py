"""Layers sharded by items beside whole ones: the same losses, outputs and gradients to rounding.

The processes are threads here, which meet at a barrier in place of a network; real processes are in
tests/training/test_several.py.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import Queue
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.models import VASP
from recae.nn import Assembled, AutoencoderNet, Batch, InputLinear, Ragged, Ranks, Sample
from recae.nn.heads import LinearHead, UnitHead
from recae.nn.ranks import joined, split, summed
from recae.nn.sharded import shard_module, shard_of
from recae.nn.tied import TiedDecoder, UnitRows
from recae.nn.vasp import ProductDecoder

ROWS, ITEMS, WIDTH = 5, 7, 3


class Meeting:
    """Where the threads of a test give and take."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.given: list[Any] = [None] * size
        self.posts = [Queue[Tensor]() for _ in range(size)]


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks whose processes are threads."""

    meeting: Meeting = field(default_factory=lambda: Meeting(1))

    def all_told(self, content: Any) -> list[Any]:
        self.meeting.given[self.rank] = content
        self.meeting.barrier.wait()
        found = list(self.meeting.given)
        self.meeting.barrier.wait()
        return found

    def summed(self, values: Tensor) -> Tensor:
        return torch.stack(self.all_told(values.clone())).sum(0)

    def largest(self, values: Tensor) -> Tensor:
        return torch.stack(self.all_told(values.clone())).amax(0)

    def joined(self, own: Tensor, total: int) -> Tensor:
        return torch.cat(self.all_told(own.clone()))[:total]

    def split(self, partial: Tensor) -> Tensor:
        return self.summed(partial)[self.rows(len(partial))]

    def told(self, content: Any) -> Any:
        return self.all_told(content)[0]

    def copy(self, tensor: Tensor) -> None:
        tensor.copy_(self.told(tensor.clone()))

    def send(self, tensor: Tensor, to: int) -> None:
        self.meeting.posts[to].put(tensor.clone())

    def receive(self, into: Tensor, source: int) -> None:
        # The tests have one sender at a time: process 0, or two processes in all.
        into.copy_(self.meeting.posts[self.rank].get(timeout=20))


def together(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` gives in each of so many threads."""
    meeting = Meeting(size)
    found: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            found[rank] = work(Threads(rank, size, meeting=meeting))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
    return found


def target(rows: int = ROWS) -> Ragged:
    matrix = sp.random(rows, ITEMS, 0.5, format="csr", random_state=4, dtype=np.float64)
    ragged = Ragged.from_csr(matrix)
    return ragged.with_values(ragged.values.double())


def drawn(*shape: int) -> Tensor:
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return numbers.requires_grad_()


def compare(
    size: int, module: torch.nn.Module, work: Callable[[Any, Ranks | None], Tensor]
) -> None:
    """The result of a module and the gradients of its parameters: whole, and sharded.

    work: gives a loss, that of all rows or the share of a process.
    """
    whole = copy.deepcopy(module)
    loss = work(whole, None)
    loss.backward()
    wanted = {name: p.grad for name, p in whole.named_parameters()}

    def share(ranks: Ranks) -> tuple[Tensor, dict[str, Any]]:
        own = copy.deepcopy(module)
        for part in own.modules():
            shard_module(part, ranks)
        loss = work(own, ranks)
        loss.backward()
        return loss.detach(), {name: (p.grad, shard_of(p)) for name, p in own.named_parameters()}

    shares = together(size, share)
    torch.testing.assert_close(sum(loss for loss, _ in shares), loss.detach())
    for name, grad in wanted.items():
        parts = [grads[name] for _, grads in shares]
        shard = parts[0][1]
        if shard is None:  # a copy in every process
            found = sum(part for part, _ in parts)
        else:
            found = torch.cat([_dense(part) for part, _ in parts], shard.dim)
        torch.testing.assert_close(found, _dense(grad))


def _dense(grad: Tensor) -> Tensor:
    return grad.to_dense() if grad.is_sparse else grad


def rows_of(hidden: Tensor, ranks: Ranks | None) -> Tensor:
    return hidden if ranks is None else hidden[ranks.rows(len(hidden))]


LOSSES = ["multinomial", "logistic", "squared", "observed-squared", "observed-logistic"]


@pytest.mark.parametrize("rows", [ROWS, 1])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_and_its_gradients_are_those_of_the_whole_head(
    kind: str, size: int, rows: int
) -> None:
    head = LinearHead(WIDTH, ITEMS).double()
    head.initialise(torch.Generator().manual_seed(1))
    first = torch.nn.Linear(2, WIDTH).double()

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        return net[1](rows_of(net[0](drawn(rows, 2)), ranks)).loss(kind, target(rows))

    compare(size, torch.nn.Sequential(first, head), work)


def test_the_softmax_is_that_of_torch() -> None:
    hidden, weight, bias, x = drawn(ROWS, WIDTH), drawn(ITEMS, WIDTH), drawn(ITEMS), target()
    dense = torch.zeros(ROWS, ITEMS, dtype=torch.float64)
    dense[x.rows, x.indices] = x.values
    wanted = -(dense * torch.log_softmax(hidden @ weight.t() + bias, 1)).sum() / ROWS

    def share(ranks: Ranks) -> Tensor:
        head = LinearHead(WIDTH, ITEMS)
        head.weight, head.bias = (torch.nn.Parameter(t.detach()) for t in (weight, bias))
        shard_module(head, ranks)
        loss: Tensor = head(rows_of(hidden.detach(), ranks)).loss("multinomial", x)
        return loss.detach()

    torch.testing.assert_close(sum(together(2, share)), wanted.detach())


def test_large_logits_stay_finite_across_processes() -> None:
    # The largest logit is in one process only: exp(800) is not a number of float64.
    weight = torch.zeros(4, 1)
    weight[3] = 800.0
    x = Ragged(torch.tensor([3]), torch.tensor([0, 1]), torch.ones(1), 4)

    def share(ranks: Ranks) -> float:
        head = LinearHead(1, 4)
        head.weight, head.bias = torch.nn.Parameter(weight), torch.nn.Parameter(torch.zeros(4))
        shard_module(head, ranks)
        return float(head(rows_of(torch.ones(1, 1), ranks)).loss("multinomial", x).detach())

    assert sum(together(2, share)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("items", [[0, 2, 6], [0, 1], [5, 6]])
def test_a_sampled_softmax_is_that_of_the_whole_sample(items: list[int]) -> None:
    x = target()
    met = torch.unique(torch.cat([torch.tensor(items), x.indices]))
    sample = Sample(met, torch.linspace(-2, -0.1, len(met), dtype=torch.float64))
    head = LinearHead(WIDTH, ITEMS).double()
    head.initialise(torch.Generator().manual_seed(1))

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        hidden = rows_of(drawn(ROWS, WIDTH), ranks)
        loss: Tensor = net(hidden).loss("multinomial", replace(x, sample=sample))
        return loss

    compare(2, head, work)


def test_rounded_products_are_close_to_those_of_the_whole_head() -> None:
    x = target()
    x = x.with_values(x.values.float())
    head = LinearHead(WIDTH, ITEMS)
    head.initialise(torch.Generator().manual_seed(1))
    head.products = torch.bfloat16
    hidden = drawn(ROWS, WIDTH).float().detach()
    whole = float(head(hidden).loss("multinomial", x).detach())

    def share(ranks: Ranks) -> float:
        own = copy.deepcopy(head)
        shard_module(own, ranks)
        return float(own(rows_of(hidden, ranks)).loss("multinomial", x).detach())

    assert sum(together(2, share)) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [2, 3])
def test_the_first_layer_gives_each_process_its_rows(size: int, sparse: bool) -> None:
    layer = InputLinear(ITEMS, WIDTH).double()
    layer.initialise(torch.Generator().manual_seed(1))
    layer.sparse = sparse

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        factors = rows_of(drawn(ROWS, WIDTH).detach(), ranks)
        return (net(target()).tanh() * factors).sum()

    compare(size, layer, work)


def test_dense_rows_that_all_processes_have_stay_with_all() -> None:
    layer = InputLinear(ITEMS, WIDTH).double()
    layer.initialise(torch.Generator().manual_seed(1))
    x = drawn(ROWS, ITEMS).detach()

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        share = 1 if ranks is None else ranks.size
        return net(x).square().sum() / share

    compare(2, layer, work)


def test_unit_norms_are_those_of_the_whole_layer() -> None:
    head = UnitHead(WIDTH, ITEMS).double()
    head.initialise(torch.Generator().manual_seed(1))

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        loss: Tensor = net(rows_of(drawn(ROWS, WIDTH), ranks)).loss("multinomial", target())
        return loss

    compare(3, head, work)


@pytest.mark.parametrize("latent", [WIDTH, 9])
def test_the_cosine_loss_of_tied_layers(latent: int) -> None:
    layer = UnitRows(ITEMS, latent).double()
    layer.initialise(torch.Generator().manual_seed(1))

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        batch = Batch(target(), target())
        loss: Tensor = TiedDecoder(net)(net(batch.input), batch).loss("cosine", batch.target)
        return loss

    compare(2, layer, work)


@pytest.mark.parametrize("size", [2, 3])
def test_the_focal_loss_of_a_product(size: int) -> None:
    decoder = ProductDecoder(ITEMS, deep=torch.nn.Identity(), widths=(WIDTH, WIDTH), shallow=True)
    decoder.double()
    for number, part in enumerate((decoder.head, decoder.from_code, decoder.shallow)):
        part.initialise(torch.Generator().manual_seed(number))

    def work(net: Any, ranks: Ranks | None) -> Tensor:
        batch = Batch(target(), target())
        loss: Tensor = net(rows_of(drawn(ROWS, WIDTH), ranks), batch).loss("focal", batch.target)
        return loss

    compare(size, decoder, work)


def test_exchanges_have_the_gradients_of_a_sum_of_shares() -> None:
    own = drawn(4, 2).detach()

    def work(ranks: Ranks) -> list[Tensor]:
        rows = own[ranks.rows(4)].requires_grad_()
        all_rows = joined(rows, 4, ranks)
        partial = own.clone().requires_grad_()
        factor = float(ranks.rank + 1)
        loss = (all_rows * factor).sum() + (split(partial, ranks) * factor).sum()
        loss = loss + (summed(partial, ranks) * factor).sum()
        return [*torch.autograd.grad(loss, [rows, partial]), all_rows.detach()]

    for rows, partial, all_rows in together(2, work):
        assert torch.equal(all_rows, own)
        assert torch.equal(rows, torch.full((2, 2), 3.0, dtype=torch.float64))  # 1 + 2
        halves = torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64)  # the rows of each
        assert torch.equal(partial, (halves + 3)[:, None].expand(4, 2))


@pytest.mark.parametrize(("total", "size"), [(5, 2), (5, 3), (1, 3), (4, 4), (2, 4)])
def test_rows_and_items_are_shared_out_without_gaps(total: int, size: int) -> None:
    rows = [Ranks(rank, size).rows(total) for rank in range(size)]
    assert [row for part in rows for row in range(total)[part]] == list(range(total))


def test_a_network_is_whole_on_the_first_and_sharded_again() -> None:
    def network() -> AutoencoderNet:
        return VASP(latent=2, width=3, depth=1, decoder_depth=1)._network(ITEMS, 0)

    plain = network()
    plain.initialise(torch.Generator().manual_seed(1))
    wanted = {name: tensor.clone() for name, tensor in plain.state_dict().items()}

    def work(ranks: Ranks) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        net = network()
        net.ranks = ranks
        net.initialise(torch.Generator().manual_seed(1))
        kept = list(net.parameters())
        assembled = Assembled(net, ranks)
        whole = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with torch.no_grad():
            for parameter in net.parameters() if not ranks.rank else ():
                parameter.add_(1)
        assembled.undo(write=True)
        assert all(a is b for a, b in zip(kept, net.parameters(), strict=True))
        return whole, net.state_dict()

    (whole, first), (_, second) = together(2, work)
    assert all(torch.equal(whole[name], tensor) for name, tensor in wanted.items())
    for name, tensor in wanted.items():
        dim = 1 if "shallow" in name else 0
        if first[name].shape == tensor.shape:
            both = first[name]
            assert torch.equal(first[name], second[name])
        else:
            both = torch.cat([first[name], second[name]], dim)
        assert torch.equal(both, tensor + 1), name


def test_fewer_items_than_processes_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 items .* 3 processes"):
        together(3, lambda ranks: shard_module(LinearHead(1, 2), ranks))
