"""Layers sharded by items: each of several processes holds some rows of the wide parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recae.errors import ConfigError
from recae.nn.batch import Ragged
from recae.nn.ranks import Ranks, joined, split, summed


@dataclass(frozen=True)
class Shard:
    """The items of a wide parameter that this process holds: `start` to `stop` of `n_items`.

    dim: the dimension of the parameter that runs over the items.
    """

    ranks: Ranks
    n_items: int
    dim: int = 0

    @property
    def start(self) -> int:
        """The first item."""
        return self.bounds(self.ranks.rank)[0]

    @property
    def stop(self) -> int:
        """The item after the last one."""
        return self.bounds(self.ranks.rank)[1]

    def bounds(self, rank: int) -> tuple[int, int]:
        """The items of a process, first and after the last."""
        size = self.ranks.size
        return self.n_items * rank // size, self.n_items * (rank + 1) // size

    @property
    def widest(self) -> int:
        """The most items of a process: what all of them cut their work by, to keep in step."""
        return -(-self.n_items // self.ranks.size)

    def of(self, tensor: Tensor, rank: int | None = None) -> Tensor:
        """The part of a full tensor that a process holds, by default this one: a view."""
        start, stop = self.bounds(self.ranks.rank if rank is None else rank)
        return tensor.narrow(self.dim, start, stop - start)

    def own(self, x: Ragged) -> Ragged:
        """All rows, with their entries of the items of this process, counted from `start`."""
        return x.columns(self.start, self.stop)

    # With gradients.

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        return summed(values, self.ranks)

    def joined(self, own: Tensor, total: int) -> Tensor:
        """The rows of all processes, (total, ...), from those of this one."""
        return joined(own, total, self.ranks)

    def split(self, partial: Tensor) -> Tensor:
        """The rows of this process of the sum over all processes, from (total, ...)."""
        return split(partial, self.ranks)

    # Of one tensor at a time, to and from process 0.

    def whole(self, part: Tensor) -> Tensor | None:
        """The full tensor on the CPU of process 0, None elsewhere; part: that of this process."""
        part, ranks = part.detach().cpu(), self.ranks
        if ranks.rank:
            ranks.send(part.contiguous(), 0)
            return None
        shape = list(part.shape)
        shape[self.dim] = self.n_items
        full = part.new_empty(shape)
        self.of(full).copy_(part)
        for rank in range(1, ranks.size):
            place = self.of(full, rank)
            held = place if place.is_contiguous() else torch.empty_like(place).contiguous()
            ranks.receive(held, rank)
            if held is not place:
                place.copy_(held)
        return full

    def spread(self, full: Tensor | None, part: Tensor) -> None:
        """The inverse: writes the part of this process; full: the tensor, on process 0."""
        ranks = self.ranks
        if full is None:
            held = torch.empty(part.shape, dtype=part.dtype)
            ranks.receive(held, 0)
            part.copy_(held)
            return
        part.copy_(self.of(full))
        for rank in range(1, ranks.size):
            ranks.send(self.of(full, rank).contiguous(), rank)


def shard_of(parameter: Tensor) -> Shard | None:
    """The items of a parameter that this process holds, None where it has all of it."""
    found: Shard | None = getattr(parameter, "shard", None)
    return found


def shard_module(module: nn.Module, ranks: Ranks) -> None:
    """Keeps the items of this process of a module's own wide parameters, if it has any.

    Those are named in its `wide`, with the dimension that runs over the items. Its `shard` becomes
    that of the last one. Raises ConfigError for fewer items than processes.
    """
    for name, dim in getattr(module, "wide", {}).items():
        full = module._parameters[name]
        assert full is not None
        shard = Shard(ranks, full.shape[dim], dim)
        if shard.n_items < ranks.size:
            raise ConfigError(
                f"{shard.n_items:,} items cannot be shared out among {ranks.size} processes: "
                "start fewer"
            )
        kept = shard.of(full.detach()).clone(memory_format=torch.contiguous_format)
        parameter = nn.Parameter(kept, full.requires_grad)
        parameter.shard = module.shard = shard  # type: ignore[attr-defined, assignment]
        module._parameters[name] = parameter


class Assembled:
    """A sharded network made whole on process 0, on its CPU, one parameter after the other.

    Every process makes one at the same place. On the others nothing changes.
    """

    def __init__(self, net: nn.Module, ranks: Ranks) -> None:
        self.net, self.ranks, self.device = net, ranks, next(net.parameters()).device
        self.parts = [
            (module, name, parameter, shard)
            for module in net.modules()
            for name, parameter in module._parameters.items()
            if parameter is not None and (shard := shard_of(parameter)) is not None
        ]
        for module, name, parameter, shard in self.parts:
            full = shard.whole(parameter)
            if full is not None:
                module._parameters[name] = nn.Parameter(full, parameter.requires_grad)
                module.shard = None  # type: ignore[assignment]
        if not ranks.rank:
            net.to("cpu")

    def undo(self, *, write: bool = False) -> None:
        """Makes the network sharded again; write: with the values that it has now on process 0."""
        for module, name, parameter, shard in self.parts:
            if write:
                changed = None if self.ranks.rank else module._parameters[name]
                shard.spread(None if changed is None else changed.detach(), parameter.detach())
            module._parameters[name], module.shard = parameter, shard  # type: ignore[assignment]
        self.net.to(self.device)
        copies = [*self.net.parameters(), *self.net.buffers()] if write else []
        for tensor in (copy.detach() for copy in copies if shard_of(copy) is None):
            self.ranks.copy(tensor)
        self.net.train(self.net.training)  # forgets what is derived of the full weights
