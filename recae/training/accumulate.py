"""Batches that do not fit in memory, trained in parts whose gradients add up to the whole's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recae.errors import CapacityError, warn
from recae.nn import Batch, Ragged
from recae.system.memory import out_of_memory


@dataclass
class Accumulation:
    """The gradient of a batch, in as few parts as memory allows.

    A batch is tried whole. Where memory is too short it is cut in halves, which is said aloud, and
    every later batch is cut to the same number of rows. The loss of a part weighs as many rows as
    it has, so that their sum is the mean over the batch: loss and gradients are those of the whole
    batch up to rounding, except where a penalty looks at the mean over a batch (free bits,
    `KLSparseCode`, the "gaussian" loss): it then looks at the mean over a part. Random draws differ
    too: parts draw one after the other from the same
    generator, which is put back before a batch is tried again. So dropout and the samples of a
    variational code are as random as before, but other ones; a run that was never short of memory
    is not changed at all.

    rows: the most rows that a part may have; None: whole batches.
    """

    rows: int | None = None

    def backward(
        self,
        batch: Batch,
        loss: Callable[[Batch], Tensor],
        parameters: Iterable[torch.nn.Parameter],
        noise: torch.Generator,
    ) -> Tensor:
        """Fills the gradients of the parameters, which are cleared before; returns the mean loss.
        Without any parameters there is the loss alone, and no graph is asked for.

        loss: the mean loss over the rows of a batch, drawing from `noise`, with a graph for the
        gradients. The result is a scalar without one. Nothing waits for the device unless memory
        was short: the bounds of parts are then read from it.

        Raises CapacityError when a single row does not fit.
        """
        parameters = list(parameters)
        before = noise.get_state()
        while True:
            size = min(self.rows or len(batch), len(batch))
            try:
                return _summed(split(batch, -(-len(batch) // size)), loss, parameters)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if size == 1:
                    raise CapacityError(
                        f"not even one user fits in the memory of {noise.device} in training: take "
                        "smaller layers or fewer items"
                    ) from error
            # Only now is what the failed attempt held set free: its frames go with the error.
            _clear(parameters)
            if noise.device.type == "cuda":
                torch.cuda.empty_cache()
            noise.set_state(before)
            self.rows = (size + 1) // 2
            warn(
                f"{size:,} users at once do not fit in the memory of {noise.device}: gradients are "
                f"added up from parts of {self.rows:,}, which gives the same result up to rounding "
                "and other random draws, more slowly; a smaller batch_size avoids it"
            )


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch cut into so many parts, equal but for one row; the batch itself for one part.

    Rows keep their order. Raises ValueError unless 1 <= parts <= rows.
    """
    rows = len(batch)
    if parts == 1:
        return [batch]
    if not 1 <= parts <= rows:
        raise ValueError(f"{rows} rows cannot be cut into {parts} parts")
    cuts = [rows * part // parts for part in range(parts + 1)]
    inputs = _cut(batch.input, cuts)
    targets = inputs if batch.target is batch.input else _cut(batch.target, cuts)
    numbers = [None] * parts if batch.rows is None else _slices(batch.rows, cuts)
    return [
        replace(batch, input=input, target=target, rows=some)
        for input, target, some in zip(inputs, targets, numbers, strict=True)
    ]


def _summed(
    parts: list[Batch],
    loss: Callable[[Batch], Tensor],
    parameters: list[torch.nn.Parameter],
) -> Tensor:
    """Adds the gradients of the parts; the mean loss over all rows."""
    _clear(parameters)
    rows, values = sum(map(len, parts)), []
    for part in parts:
        value = loss(part)
        if len(parts) > 1:
            value = value * (len(part) / rows)
        if parameters:
            value.backward()  # type: ignore[no-untyped-call]
        values.append(value.detach())
    if len(parts) == 1:
        return values[0]
    return torch.stack(values).sum()


def _clear(parameters: list[torch.nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _cut(rows: Ragged | Tensor, cuts: list[int]) -> Sequence[Ragged | Tensor]:
    """Rows of a ragged or a dense batch, cut at some of them."""
    if isinstance(rows, Tensor):
        return _slices(rows, cuts)
    bounds = rows.offsets[torch.tensor(cuts, device=rows.offsets.device)].tolist()
    return [
        replace(
            rows,
            indices=rows.indices[start:stop],
            offsets=rows.offsets[low : high + 1] - start,
            values=rows.values[start:stop],
        )
        for low, high, start, stop in zip(cuts, cuts[1:], bounds, bounds[1:], strict=False)
    ]


def _slices(rows: Tensor, cuts: list[int]) -> list[Tensor]:
    return [rows[low:high] for low, high in zip(cuts, cuts[1:], strict=False)]
