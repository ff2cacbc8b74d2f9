"""Several processes that train one network, and what they exchange.

The loss is the sum of one share from each process. So the gradient of what all processes get is the
sum of their gradients, and a narrow parameter, of which every process has a copy, has as gradient
the sum of those of all copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recae.errors import TrainingError


@dataclass(frozen=True)
class Ranks:
    """The processes of one run, and which of them this one is.

    rank: from 0; size: the number of processes; timeout: seconds that one waits for another; begun:
    whether torch.distributed was begun for this run. Of one process every method returns what it is
    given. Raises TrainingError when another process has ended or does not answer in time.
    """

    rank: int = 0
    size: int = 1
    timeout: float = 1800.0
    begun: bool = False

    def rows(self, total: int) -> slice:
        """The rows of a batch of `total` rows that belong to this process, perhaps none."""
        each = -(-total // self.size)
        return slice(min(self.rank * each, total), min((self.rank + 1) * each, total))

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, a new tensor."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def largest(self, values: Tensor) -> Tensor:
        """The maximum over all processes, a new tensor."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def joined(self, own: Tensor, total: int) -> Tensor:
        """The rows of all processes, in order: (total, ...)."""
        if self.size == 1:
            return own
        each = -(-total // self.size)
        out = own.new_empty(self.size, each, *own.shape[1:])
        with self._reached():
            dist.all_gather(list(out.unbind(0)), _padded(own, each))
        return out.flatten(0, 1)[:total]

    def split(self, partial: Tensor) -> Tensor:
        """The sum over all processes, of which this one gets its rows: (total, ...) -> (own, ...).

        NCCL sends half of what `summed` would send; gloo sends as much.
        """
        if self.size == 1:
            return partial
        total, each = len(partial), -(-len(partial) // self.size)
        own = self.rows(total)
        parts = _padded(partial, each * self.size).view(self.size, each, *partial.shape[1:])
        out = torch.empty_like(parts[0])
        with self._reached():
            dist.reduce_scatter(out, list(parts.unbind(0)))
        return out[: own.stop - own.start]

    def told(self, content: Any) -> Any:
        """What process 0 gives, a small object, in every process."""
        if self.size == 1:
            return content
        held = [content]
        with self._reached():
            dist.broadcast_object_list(held, src=0)
        return held[0]

    def all_told(self, content: Any) -> list[Any]:
        """What each process gives, a small object, in order."""
        if self.size == 1:
            return [content]
        held: list[Any] = [None] * self.size
        with self._reached():
            dist.all_gather_object(held, content)
        return held

    def copy(self, tensor: Tensor) -> None:
        """Overwrites a tensor with that of process 0."""
        if self.size == 1:
            return
        with self._reached():
            dist.broadcast(tensor, 0)

    def send(self, tensor: Tensor, to: int) -> None:
        """Sends a tensor of the CPU to one process."""
        with self._reached():
            dist.send(tensor, to)

    def receive(self, into: Tensor, source: int) -> None:
        """Receives a tensor of one process into one of the CPU, which is contiguous."""
        with self._reached():
            dist.recv(into, source)

    def wait(self) -> None:
        """Waits until all processes are here."""
        self.all_told(None)

    def part(self) -> None:
        """Ends the connection, if it was begun for this run: others that wait for this process end
        at once with TrainingError."""
        if self.begun and dist.is_initialized():
            dist.destroy_process_group()

    def summed_gradients(self, values: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
        """The sums of some values, (n,), and in place those of the gradients of parameters that all
        processes have copies of.

        One message for all of them. It is what DistributedDataParallel does for a network without
        shards; that one averages, and does not know that phases train different parameters.
        """
        grads = [p.grad for p in parameters if p.grad is not None]
        sent = self.summed(torch.cat([values, *(grad.flatten() for grad in grads)]))
        total, *sums = torch.split(sent, [len(values), *(grad.numel() for grad in grads)])
        for grad, summed in zip(grads, sums, strict=True):
            grad.copy_(summed.view_as(grad))
        return total

    def _reduced(self, values: Tensor, operation: Any) -> Tensor:
        values = values.clone(memory_format=torch.contiguous_format)
        if self.size == 1:
            return values
        with self._reached():
            dist.all_reduce(values, operation)
        return values

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turns a failed or lost connection to another process into a TrainingError."""
        if not dist.is_initialized():
            raise TrainingError(
                f"process {self.rank} of {self.size} is not connected to the others: the block of "
                "recae.distributed() has ended, or an error in fit has parted them: enter it again"
            )
        try:
            yield
        except RuntimeError as error:  # of gloo, of NCCL, or of the store
            raise TrainingError(
                f"process {self.rank} of {self.size} lost another one, which has ended or did not "
                f"answer for {self.timeout:g} s: the message of that process says why. Start all "
                "of them again; with the same checkpoint, they, or one process, resume after its "
                f"last epoch ({' '.join(str(error).split())[:200]})"
            ) from error


def _padded(rows: Tensor, length: int) -> Tensor:
    """So many rows, contiguous; zeros below."""
    if len(rows) == length:
        return rows.contiguous()
    return torch.cat([rows, rows.new_zeros(length - len(rows), *rows.shape[1:])])


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.summed(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.summed(upstream), None


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, total: int, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.joined(own, total)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return ctx.ranks.split(upstream), None, None


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, partial: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.total = ranks, len(partial)
        return ranks.split(partial)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.joined(upstream, ctx.total), None


def summed(values: Tensor, ranks: Ranks) -> Tensor:
    """`Ranks.summed`, with its gradient."""
    total: Tensor = _Summed.apply(values, ranks)  # type: ignore[no-untyped-call]
    return total


def joined(own: Tensor, total: int, ranks: Ranks) -> Tensor:
    """`Ranks.joined`, with its gradient."""
    rows: Tensor = _Joined.apply(own, total, ranks)  # type: ignore[no-untyped-call]
    return rows


def split(partial: Tensor, ranks: Ranks) -> Tensor:
    """`Ranks.split`, with its gradient."""
    rows: Tensor = _Split.apply(partial, ranks)  # type: ignore[no-untyped-call]
    return rows
