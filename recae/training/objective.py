"""The training objective, and gradient accumulation in as few parts as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from recae.errors import CapacityError, warn
from recae.nn import Batch, Ragged, Ranks, Scores
from recae.nn.batch import UNKNOWN
from recae.nn.later import later_of
from recae.system.machine import out_of_memory

Weight = float | Tensor | Callable[[Batch, int], "float | Tensor"]


def annealed(cap: float, share: float, updates: int) -> Weight:
    """A weight that rises linearly to `cap` over a share of the planned updates.

    Liang et al. (2018, section 2.2.2) anneal the KL term so, to 0.2 over 40,000 updates.
    """
    if not share:
        return cap
    rate = cap / (share * updates)
    return lambda batch, step: min(cap, rate * step)


@dataclass(frozen=True)
class Objective:
    """reconstruction + sum over terms of mean(weight * term), averaged over the rows.

    reconstruction: a loss that the scores offer, such as "multinomial";
    weights: for every term of the code, a number, a tensor of one or of one for each row, or
    `f(batch, step)` giving any of them.
    """

    reconstruction: str = "multinomial"
    weights: Mapping[str, Weight] = field(default_factory=dict)

    def __call__(
        self, scores: Scores, terms: Mapping[str, Tensor], batch: Batch, step: int
    ) -> Tensor:
        """The loss of a batch, a scalar; `step` counts the updates made so far. Where several
        processes train together, it is the share of this one."""
        loss = scores.loss(self.reconstruction, batch.target)
        for name, term in terms.items():
            weight = self.weights[name]
            factor = weight(batch, step) if callable(weight) else weight
            if isinstance(factor, Tensor) and factor.dim():
                factor = batch.mine(factor)
            loss = loss + batch.mean(term * factor)
        return loss


@dataclass
class Accumulation:
    """The gradient of a batch, in as few parts as memory allows.

    If a batch does not fit in memory it is cut in halves, with a warning, and every later batch is
    cut to the same number of rows (gradient accumulation). The loss of a part is weighted by its
    rows, so the sum is the mean over the batch. Loss and gradients are those of the full batch up
    to rounding. The exception is a penalty of the mean over a batch (free bits, `KLSparseCode`, the
    "gaussian" loss), which becomes the mean over a part. Parts draw one after the other from the
    same generator, which is reset before a batch is tried again. Dropout and the samples of a
    variational code are therefore other draws of the same distribution. A run that always had
    enough memory is not changed.

    rows: the most rows of a part; None for full batches. ranks: the processes that train together.
    They must stay in step, and none knows whether the others had enough memory: a batch that does
    not fit in the memory of one is not cut then.
    """

    rows: int | None = None
    ranks: Ranks | None = None

    def backward(
        self,
        batch: Batch,
        loss: Callable[[Batch], Tensor],
        parameters: Iterable[torch.nn.Parameter],
        noise: torch.Generator,
    ) -> Tensor:
        """Computes the gradients of the parameters, cleared before, and returns the mean loss.
        Without parameters only the loss is computed.

        loss: gives the mean loss over the rows of a batch, drawing from `noise`, with a graph. The
        result is a detached scalar. The host waits for the device only if a batch is cut.

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
                if self.ranks is not None:
                    raise CapacityError(
                        f"{size:,} users at once do not fit in the memory of process "
                        f"{self.ranks.rank} of {self.ranks.size}, on {noise.device}: lower "
                        "batch_size, or start more processes"
                    ) from error
                if size == 1:
                    raise CapacityError(
                        "training on one user at a time does not fit in the memory of "
                        f"{noise.device}: use smaller layers or fewer items"
                    ) from error
            # The memory of the failed attempt is freed only here, with the frames of the error.
            _clear(parameters)
            if noise.device.type == "cuda":
                torch.cuda.empty_cache()
            noise.set_state(before)
            self.rows = (size + 1) // 2
            warn(
                f"{size:,} users at once do not fit in the memory of {noise.device}: gradients are "
                f"accumulated over {self.rows:,} users at a time: slower, but with the same "
                "result up to rounding and other random draws; a smaller batch_size avoids it"
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
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # the parts have rows in common
    return torch.stack(values).sum()


def _clear(parameters: Sequence[torch.nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad, later = None, later_of(parameter)
        if later is not None:
            later.parts.clear()


@contextmanager
def forgotten(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Forgets the gradients of these parameters at the end: they are as large as the weights."""
    try:
        yield
    finally:
        _clear(parameters)


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
            spare=0,
            **UNKNOWN,
        )
        for low, high, start, stop in zip(cuts, cuts[1:], bounds, bounds[1:], strict=False)
    ]


def _slices(rows: Tensor, cuts: list[int]) -> list[Tensor]:
    return [rows[low:high] for low, high in zip(cuts, cuts[1:], strict=False)]
