"""CUDA graphs of the pretended GPU: operations captured, and replayed at the addresses they had.

While a graph is captured nothing takes effect: results are NaN, and what was overwritten is put
back. Operations keep their tensors and the numbers of the host that they got. What makes the host
wait, copies from or to it, and generators that are not registered are errors. As in torch up
to 2.11, the generators of a capture that such an error broke off cannot draw afterwards. A replay
runs the operations again and counts as one event, "replay". Streams only exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map

from tests.gpu.modes import storages_of

REFUSED = {"sync", "download", "upload", "upload-pinned"}


class Refused(RuntimeError):
    """An operation that breaks off a capture."""


@contextmanager
def unseen() -> Iterator[None]:
    """Operations of the pretended GPU itself, which no mode sees."""
    with torch._C.DisableTorchFunction(), _disable_current_modes(), torch.no_grad():
        yield


class Order:
    """What takes the place of a stream: everything runs at once and in order."""

    def wait_stream(self, other: Any) -> None:
        """Nothing to wait for."""


class Stream(torch.cuda.Stream):
    """Makes an `Order`. torch._dynamo, which optimisers import, wants a class of torch's here."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return Order()


class Graph:
    """torch.cuda.CUDAGraph; kernels: the launches that a replay saves."""

    gpu: Any

    def __init__(self, *args: Any) -> None:
        self.generators = [torch.default_generator]
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] | None = None
        self.kernels = 0

    def register_generator_state(self, generator: torch._C.Generator) -> None:
        """Lets the graph draw from a generator, anew at every replay."""
        self.generators.append(generator)

    def replay(self) -> None:
        """Runs the operations again, into the tensors that they gave first."""
        if self.calls is None or self.gpu.capturing is not None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture")
        self.gpu.record("replay", f"{self.kernels} kernels")
        with unseen():
            for func, args, kwargs, results in self.calls:
                found = [t for t in tree_iter(func(*args, **kwargs)) if isinstance(t, Tensor)]
                for kept, new in zip(results, found, strict=True):
                    if kept.untyped_storage()._cdata != new.untyped_storage()._cdata:
                        kept.copy_(new)


class capture:  # the name of torch
    """torch.cuda.graph: what runs in here on the GPU is taken into the graph, and has no effect."""

    gpu: Any

    def __init__(self, graph: Graph, pool: Any = None, stream: Any = None, **kwargs: Any) -> None:
        self.graph, self.calls = graph, []
        self.made: dict[int, StorageWeakRef] = {}
        self.written: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> None:
        torch.cuda.synchronize()
        self.states = [generator.get_state() for generator in self.graph.generators]
        self.gpu.capturing = self

    def __exit__(self, *error: Any) -> None:
        gpu, own = self.gpu, self.graph.generators
        gpu.capturing, broken = None, isinstance(error[1], Refused)
        others = [each for each in gpu.stuck if not any(each is one for one in own)]
        gpu.stuck = others + (own if broken else [])
        for generator, state in zip(self.graph.generators, self.states, strict=True):
            generator.set_state(state)
        with unseen():
            for _, _, _, results in self.calls:
                for result in results:
                    if self._made_here(result) and result.is_floating_point():
                        result.fill_(torch.nan)
            for storage, before in self.written.values():
                storage.copy_(before)
        if error[0] is None:
            self.graph.calls = self.calls

    def _made_here(self, tensor: Tensor) -> bool:
        return all(storage._cdata in self.made for storage in storages_of(tensor))

    def before(self, func: Any, args: Any) -> None:
        """Keeps what an operation overwrites."""
        with unseen():
            for argument, given in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for tensor in tree_iter(given):
                        for storage in storages_of(tensor):
                            if storage._cdata not in self.made | self.written:
                                self.written[storage._cdata] = storage, storage.clone()

    def after(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Takes an operation that has run on the GPU."""

        def held(given: Any) -> Any:
            """The same memory; a number on the host is read once."""
            if not isinstance(given, Tensor):
                return given
            return given.detach() if self.gpu.has(given) else given.detach().clone()

        with unseen():
            before = {s._cdata for t in _tensors((args, kwargs)) for s in storages_of(t)}
            for tensor in _tensors(out):
                for storage in storages_of(tensor):
                    if storage._cdata not in before:
                        self.made[storage._cdata] = StorageWeakRef(storage)
            results = [tensor.detach() for tensor in _tensors(out)]
            self.calls.append((func, *tree_map(held, (args, kwargs)), results))


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in tree_iter(tree) if isinstance(each, Tensor)]


def patches(gpu: Any) -> list[tuple[Any, str, Any]]:
    """What takes the place of torch's own."""
    stream = Order()

    @contextmanager
    def inside(stream: Order) -> Iterator[None]:
        yield

    return [
        (torch.cuda, "CUDAGraph", type("CUDAGraph", (Graph,), {"gpu": gpu})),
        (torch.cuda, "graph", type("graph", (capture,), {"gpu": gpu})),
        (torch.cuda, "graph_pool_handle", lambda: (0, 1)),
        (torch.cuda, "Stream", Stream),
        (torch.cuda, "stream", inside),
        (torch.cuda, "current_stream", lambda *_: stream),
        (torch.cuda, "is_current_stream_capturing", lambda: gpu.capturing is not None),
    ]
