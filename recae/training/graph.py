"""The training steps of histories on a GPU, replayed as a CUDA graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recae import nn as recae_nn
from recae.errors import warn
from recae.nn import AutoencoderNet, Batch, Ragged
from recae.nn.heads import CHUNK_CELLS
from recae.nn.products import cells_of, row_chunks
from recae.system.machine import gpu_room
from recae.training.batches import Loader
from recae.training.device import DeviceLoader
from recae.training.objective import Accumulation, Objective

LOG = logging.getLogger("recae")

FEWEST = 100
"""Full batches of a training below which a graph is not worth its capture: it takes some steps, and
saves about a millisecond of every later one."""

ROOM = 6
"""A graph has memory of its own beside that of steps without it: so many times the bytes of logits
and weights must be free."""

SPARE = 64
"""Rows that share the padding of a batch: a GPU reads the entries of one row one by one."""

DEVIATIONS = 4
"""The padded size of a batch is its mean number of entries and so many standard deviations."""

THREAD: Any = {"capture_error_mode": "thread_local"}
"""What other threads do on the GPU meanwhile breaks no capture."""

TOLERANCE = 1e-2
"""Largest relative difference of a gradient from the one without a graph. Products in bfloat16 and
sums in another order differ by less, and a graph that reads other numbers by far more."""

PADDED = (
    nn.ModuleList,
    nn.Sequential,
    nn.Tanh,
    nn.ReLU,
    nn.Sigmoid,
    nn.SiLU,
    recae_nn.AutoencoderNet,
    recae_nn.Chain,
    recae_nn.CompositeGaussian,
    recae_nn.Decoder,
    recae_nn.DenselyConnected,
    recae_nn.DeterministicCode,
    recae_nn.Dropout,
    recae_nn.Gaussian,
    recae_nn.InputLinear,
    recae_nn.Linear,
    recae_nn.LinearHead,
    recae_nn.Masking,
    recae_nn.NoCorruption,
    recae_nn.Posterior,
    recae_nn.UnitNorm,
    recae_nn.layers.LayerNorm,
)
"""The modules that read padded batches, make no GPU wait, and remember nothing of a batch."""


class Padding:
    """A batch with a fixed number of rows and entries, at fixed addresses.

    The entries behind those of the rows have the value 0, and are in `SPARE` rows of their own.
    """

    def __init__(self, loader: DeviceLoader) -> None:
        lengths = np.sort(loader.lengths[loader.rows])
        self.rows, self.width = loader.loader.batch_size, loader.loader.input.shape[1]
        usual = self.rows * lengths.mean() + DEVIATIONS * self.rows**0.5 * lengths.std()
        self.entries = int(min(np.ceil(usual), lengths[-self.rows :].sum()))

        def zeros(size: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=loader.device)

        self.indices = zeros(self.entries, torch.int64)
        self.offsets = zeros(self.rows + 1, torch.int64)
        self.values = zeros(self.entries, torch.float32)
        other = loader.target_values is not None
        self.target_values = zeros(self.entries, torch.float32) if other else self.values

    def fill(self, batch: Batch) -> bool:
        """Takes the numbers of a batch, if it has the rows and not too many entries."""
        input, target = batch.input, batch.target
        if not isinstance(input, Ragged) or not isinstance(target, Ragged):
            return False
        n = len(input.indices)
        if len(batch) != self.rows or n > self.entries:
            return False
        self.offsets.copy_(input.offsets)
        self.indices[:n].copy_(input.indices)  # behind them, any items will do
        self.values[:n].copy_(input.values)
        self.values[n:].zero_()
        if self.target_values is not self.values:
            self.target_values[:n].copy_(target.values)
            self.target_values[n:].zero_()
        return True

    def batch(self) -> Batch:
        """The batch filled in last. What it derives from its numbers is computed anew."""
        end, part = self.offsets[-1:], torch.arange(1, SPARE + 1, device=self.offsets.device)
        spare = end + (self.entries - end) * part // SPARE
        offsets = torch.cat([self.offsets, spare])
        input = Ragged(self.indices, offsets, self.values, self.width, spare=SPARE)
        other = self.target_values is not self.values
        return Batch(input, input.with_values(self.target_values) if other else input)


@dataclass
class Captured:
    """A graph of a step, where it writes the loss and the gradients, and whether it was checked."""

    graph: Any
    loss: Tensor
    grads: list[Tensor | None]
    checked: bool = False


class Graphs:
    """The gradients of batches, as `Accumulation` computes them, but by the replay of a CUDA graph.

    A step is some hundred kernels, and the host needs longer to launch them than a GPU to run them.
    A graph launches them together. It computes with the addresses, shapes and numbers of the host
    that it was captured with. So full batches are copied into a `Padding`, and weights of the
    objective that are functions into tensors; the optimiser stays outside.

    The first step of a phase runs without a graph, and then is captured. The second step runs both
    ways, from the same weights, batch and random numbers. If a capture fails or the gradients
    differ, a warning says so, and training goes on without graphs, with the same random numbers.
    Dropout draws for the padding as well: its numbers are others than those of unpadded batches.
    """

    def __init__(
        self, net: AutoencoderNet, loader: DeviceLoader, objective: Objective, parts: Accumulation
    ) -> None:
        self.net, self.objective, self.accumulation = net, objective, parts
        self.padding, self.device = Padding(loader), loader.device
        self.noise = torch.Generator(loader.device)  # a graph knows its generator, not its seed
        self.weights: dict[str, Tensor] = {}
        self.captured: dict[Any, Captured] = {}
        self.addresses: list[int] = []
        self.works = True
        self.stream: Any = torch.cuda.Stream(loader.device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    def begin(self, noise: torch.Generator) -> None:
        """Begins an epoch, whose random numbers are those of `noise`."""
        self.noise.set_state(noise.get_state())
        addresses = [tensor.data_ptr() for tensor in self.net.state_dict().values()]
        if addresses != self.addresses:
            self.captured.clear()
        self.addresses = addresses

    def backward(self, batch: Batch, step: int, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Computes the gradients of the parameters, and returns the mean loss of the batch.

        step: the updates made so far. The loss is a scalar that the next batch overwrites. Raises
        CapacityError when a single row does not fit in memory.
        """
        if self.accumulation.rows is not None or not self.padding.fill(batch):
            return self._eager(batch, step, parameters)
        if not self.works:
            return self._eager(self.padding.batch(), step, parameters)
        self._weigh(batch, step)
        key = self.net.corrupt.training, *map(id, parameters)
        captured = self.captured.get(key)
        if captured is None:
            loss = self._aside(step, parameters)
            if self.accumulation.rows is None:  # else it did not fit in memory
                with self._guarded(parameters):
                    self.captured[key] = self._capture(parameters)
            return loss
        if not captured.checked:
            return self._check(captured, step, parameters)
        captured.graph.replay()
        _give(parameters, captured.grads)
        return captured.loss

    def _eager(self, batch: Batch, step: int, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The step without a graph."""

        def loss(part: Batch) -> Tensor:
            scores, terms = self.net(part, self.noise)
            return self.objective(scores, terms, part, step)

        return self.accumulation.backward(batch, loss, parameters, self.noise)

    def _weigh(self, batch: Batch, step: int) -> None:
        """Puts the weights of this batch where the graph reads them."""
        for name, weight in self.objective.weights.items():
            if callable(weight):
                found = weight(batch, step)
                if name not in self.weights:
                    shape = found.shape if isinstance(found, Tensor) else ()
                    self.weights[name] = torch.zeros(shape, device=self.device)
                kept = self.weights[name]
                kept.copy_(found) if isinstance(found, Tensor) else kept.fill_(found)

    def _aside(self, step: int, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The step without a graph, on the stream of the captures."""
        with self._streamed():
            return self._eager(self.padding.batch(), step, parameters)

    @contextmanager
    def _streamed(self) -> Iterator[None]:
        """Runs on the stream of the captures, in order with what is before and after."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)

    @contextmanager
    def _guarded(self, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        """Keeps the gradients and the state of the noise, and gives up graphs after an error."""
        grads, state = [parameter.grad for parameter in parameters], self.noise.get_state()
        failed = None
        try:
            yield
        except Exception as error:  # whatever it is, the step was computed without the graph
            first = error.__context__ or error  # the end of a broken capture is an error as well
            failed = " ".join(f"{type(first).__name__}: {first}".split())[:200]
            del first
        finally:
            _give(parameters, grads)
        if failed is not None:  # only here is the memory free that the frames of the error held
            self._give_up(failed)
        self.noise.set_state(state)

    def _give_up(self, reason: str) -> None:
        """Goes on without graphs, with another generator: a capture that was broken off keeps its
        own, and that of torch, until a capture has ended."""
        self.works, self.noise = False, torch.Generator(self.device)
        self.captured.clear()
        with suppress(Exception), self._streamed():
            with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=self.stream, **THREAD):
                self.padding.offsets + 1
        torch.cuda.empty_cache()
        warn(
            f"training goes on without CUDA graphs, which is slower: {reason}. Please report it "
            "with the versions of torch, CUDA and recae"
        )

    def _capture(self, parameters: Sequence[nn.Parameter]) -> Captured:
        """The graph of a step, which runs once before it is captured."""
        graph = torch.cuda.CUDAGraph()
        register = getattr(graph, "register_generator_state", None)
        if register is not None:  # later versions of torch register what is used
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                register(self.noise)
        capture = torch.cuda.graph(graph, pool=self.pool, stream=self.stream, **THREAD)
        with self._streamed():
            self._step(parameters)  # libraries load code and take memory, which a capture forbids
            with capture:
                loss = self._step(parameters)
        return Captured(graph, loss, [parameter.grad for parameter in parameters])

    def _step(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """What a graph replays; it makes gradients of its own."""
        for parameter in parameters:
            parameter.grad = None
        batch = self.padding.batch()
        scores, terms = self.net(batch, self.noise)
        objective = replace(self.objective, weights={**self.objective.weights, **self.weights})
        loss = objective(scores, terms, batch, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _check(self, captured: Captured, step: int, parameters: Sequence[nn.Parameter]) -> Tensor:
        """A step without the graph, and with it: the result of the former."""
        before = self.noise.get_state()
        loss = self._aside(step, parameters)
        expected, drawn = [parameter.grad for parameter in parameters], self.noise.get_state()
        with self._guarded(parameters):
            self.noise.set_state(before)
            captured.graph.replay()
            off = _difference([captured.loss, *captured.grads], [loss, *expected])
            if off > TOLERANCE:
                raise ValueError(f"its gradients differ by {off:.2g}")
            if not torch.equal(self.noise.get_state(), drawn):
                raise ValueError("it draws other random numbers")
            captured.checked = True
            LOG.info("training steps are replayed as a CUDA graph, on %s", self.device)
        return loss


def graphs(
    net: AutoencoderNet,
    loader: Loader,
    objective: Objective,
    epochs: int,
    accumulation: Accumulation,
) -> Graphs | None:
    """Graphs for a training, or None where they do not help or are not known to be right.

    They are for one process on a GPU, whose matrix of histories is on the GPU, for networks of the
    modules `PADDED` under the multinomial loss over all items, for at least `FEWEST` steps, and
    where there is `ROOM`.
    """
    if not isinstance(loader, DeviceLoader) or loader.device.type != "cuda":
        return None
    size, items = loader.loader.batch_size, loader.loader.input.shape[1]
    plain = all(
        type(module) in PADDED and not getattr(module, "sparse", False) for module in net.modules()
    )
    pieces = row_chunks(size, items, cells_of(loader.device, CHUNK_CELLS))
    whole = objective.reconstruction == "multinomial" and len(pieces) == 1
    enough = epochs * (len(loader.rows) // size) >= FEWEST
    if accumulation.ranks is not None or not (plain and whole and enough):
        return None
    need = 8 * size * items + sum(tensor.nbytes for tensor in net.state_dict().values())
    fits = ROOM * need < gpu_room(loader.device)
    return Graphs(net, loader, objective, accumulation) if fits else None


def _give(parameters: Sequence[nn.Parameter], grads: Sequence[Tensor | None]) -> None:
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad


def _difference(found: Sequence[Tensor | None], expected: Sequence[Tensor | None]) -> float:
    """The largest relative difference of two lists of tensors; inf if they have others."""
    if [each is None for each in found] != [each is None for each in expected]:
        return float("inf")
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None is not b]
    norms = torch.stack([torch.stack([(a - b).norm(), b.norm()]) for a, b in pairs])
    off, size = norms.cpu().double().unbind(1)
    off = off / (size + 1e-3 * size.max()).clamp_min(1e-30)
    return float(off.nan_to_num(torch.inf).max())
