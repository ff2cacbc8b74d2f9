"""A pretend GPU: code for CUDA runs on the CPU, with its real numbers, under the rules of CUDA.

    with PretendGPU(watch="recae") as gpu:
        model.fit(data, device="cuda")
    print(gpu)                                             # what waited, was copied, ..., and where
    assert not gpu.count("sync", "download", inside="training/loop.py:1")

It needs no CUDA and no special build of torch. A tensor is on the GPU if its storage has that
label; for the C++ of torch it stays a CPU tensor. So arithmetic, autograd and optimisers are the
real ones, while `.device`, `.is_cuda` and `torch.cuda` report the GPU, and branches such as
`device.type == "cuda"` are taken. Every operation passes the labels on, also in the backward pass.
Threads that start meanwhile are included, child processes are not.

It raises the errors of torch for: operations that mix CPU and GPU tensors (except 0-dimensional CPU
tensors and CPU indices, where CUDA accepts them), generators of the other device, numpy on GPU
tensors, pinning them, and with `memory=` more bytes than there are (torch.OutOfMemoryError).
It counts, by kind, operation and line of the watched package:

    sync              the host waits for the GPU: item, bool, nonzero, unique, masks as indices, ...
    download          a copy to the host, which waits as well
    upload            a copy of pageable memory to the GPU: the host waits for it
    upload-pinned     the same from pinned memory with non_blocking: nobody waits
    launch            an operation that computes: a kernel at least
    replay            a CUDA graph, see `graphs`: its operations are no launches of their own
    nondeterministic  its bits may differ between two runs on CUDA (torch's own list)
    float64           an operation whose result is in float64

It does not show the rounding of CUDA, its random numbers, its limits of types and shapes, times,
the temporary memory of kernels, or several devices and streams.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from tests.gpu import graphs, modes
from tests.gpu.modes import CUDA, Functions, Generator, Move, Operations, storages_of

OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
_DEVICE = torch._C.TensorBase.device  # type: ignore[attr-defined]


class PretendGPU:
    """Entered, it is the one CUDA device; see the module. watch: a folder in the path of the files
    whose lines are named; memory: the bytes that it has, None for no limit.

    used, peak: bytes, as storages ask for them; copied: bytes by kind of copy; operations: those
    that have run on it.
    """

    def __init__(self, watch: str = "recae", memory: int | None = None) -> None:
        self.watch, self.memory = os.sep + watch + os.sep, memory
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.copied: Counter[str] = Counter()
        self.operations: set[str] = set()
        self.refused: tuple[str, ...] = ()
        self.used = self.peak = 0
        self.tells = False  # of waits, see torch.cuda.set_sync_debug_mode
        self.capturing: graphs.capture | None = None
        self.stuck: list[torch._C.Generator] = []
        # Held weakly, an address is not given to another storage.
        self._here: dict[int, tuple[StorageWeakRef, int]] = {}
        self.pinned: dict[int, StorageWeakRef] = {}
        self._lock, self._told = threading.RLock(), threading.local()

    # What is where.

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the GPU."""
        with torch._C.DisableTorchFunction():
            return any(storage._cdata in self._here for storage in storages_of(tensor))

    def device(self, tensor: Tensor) -> torch.device:
        """Where a tensor is said to be."""
        return CUDA if self.has(tensor) else _DEVICE.__get__(tensor)

    def put(self, tensor: Tensor, gpu: bool = True) -> Tensor:
        """Labels a tensor as one of the GPU, or of the CPU again."""
        with self._lock, torch._C.DisableTorchFunction():
            for storage in storages_of(tensor):
                if not gpu:
                    self._here.pop(storage._cdata, None)
                elif storage._cdata not in self._here:
                    size = storage.nbytes()
                    self._here[storage._cdata] = StorageWeakRef(storage), size
                    self.used += size
                    most = float("inf") if self.memory is None else self.memory
                    if self.used > min(self.peak, most):  # what is freed is noticed only here
                        self.sweep()
                    if self.used > most:
                        del self._here[storage._cdata]
                        raise OutOfMemory(
                            f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB"
                        )
                    self.peak = max(self.peak, self.used)
        return tensor

    def sweep(self) -> int:
        """Forgets what is freed; the bytes in use."""
        with self._lock:
            self._here = {k: v for k, v in self._here.items() if not v[0].expired()}
            self.pinned = {k: v for k, v in self.pinned.items() if not v.expired()}
            self.used = sum(size for _, size in self._here.values())
            return self.used

    def move(self, tensor: Tensor, gpu: bool, wait: bool = True, **options: Any) -> Tensor:
        """A copy on the other side, through which gradients come back."""
        if tensor.requires_grad and torch.is_grad_enabled():
            moved: Tensor = Move.apply(self, tensor, gpu, wait, options)
            return moved
        with self.telling("side", gpu):
            out = tensor.detach().to(copy=True, **options)
        self.record(self.kind_of_copy(tensor, gpu, wait), "to", out.nbytes)
        return self.put(out, gpu)

    def kind_of_copy(self, source: Tensor, gpu: bool, wait: bool) -> str:
        """The kind of a copy."""
        with torch._C.DisableTorchFunction():
            pinned = all(storage._cdata in self.pinned for storage in storages_of(source))
        return "download" if not gpu else "upload-pinned" if pinned and not wait else "upload"

    # What has happened.

    def record(self, kind: str, what: str, copied: int = 0) -> None:
        """Counts an event at the innermost line of the watched package; copied: its bytes."""
        if self.capturing is not None and kind in graphs.REFUSED:
            raise graphs.Refused(f"operation not permitted when stream is capturing: {what}")
        if self.capturing is not None and kind == "launch":
            self.capturing.graph.kernels += 1
            return
        frame: Any = sys._getframe(1)
        while frame is not None and not self._watched(frame.f_code.co_filename):
            frame = frame.f_back
        where = "elsewhere"
        if frame is not None:
            where = f"{frame.f_code.co_filename.rpartition(self.watch)[2]}:{frame.f_lineno}"
        with self._lock:
            self.events[kind, what, where] += 1
            self.copied[kind] += copied
        if self.tells and kind in ("sync", "download"):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=2)
        if kind in self.refused and frame is not None:
            raise AssertionError(f"{kind}: {what} at {where}")

    def check_not_capturing(self) -> None:
        """Raises while a graph is captured."""
        if self.capturing is not None:
            raise RuntimeError("cannot be called during CUDA graph capture")

    def check_draws(self, generator: torch._C.Generator) -> None:
        """Raises for a generator that may not draw: one that the graph in capture does not know,
        and one of a graph whose capture was broken off, until a capture with it has ended."""
        if self.capturing is not None:
            known = any(generator is each for each in self.capturing.graph.generators)
        else:
            known = not any(generator is each for each in self.stuck)
        if not known:
            raise RuntimeError("the generator is not registered, or a capture did not end with it")

    def _watched(self, path: str) -> bool:
        return self.watch in path and path not in (__file__, modes.__file__, graphs.__file__)

    def count(self, *kinds: str, inside: str = "") -> int:
        """Events of some kinds, all without any, at lines that begin so."""
        rows = self.table(*kinds)
        return sum(n for n, _, _, where in rows if where.startswith(inside))

    def table(self, *kinds: str) -> list[tuple[int, str, str, str]]:
        """(count, kind, operation, line), the most frequent first."""
        found = [(n, *key) for key, n in self.events.items() if not kinds or key[0] in kinds]
        return sorted(found, key=lambda row: (-row[0], row[1:]))

    def __str__(self) -> str:
        lines = [
            f"{n:7} {kind:16} {what:28} {where}"
            for n, kind, what, where in self.table()
            if kind not in ("launch", "float64")
        ]
        end = f"{self.count('launch')} launches, peak {self.peak / 1e6:.2f} MB"
        return "\n".join([*lines, end])

    @contextmanager
    def refusing(self, *kinds: str) -> Iterator[None]:
        """Raises AssertionError for events of these kinds at lines of the watched package."""
        before, self.refused = self.refused, kinds
        try:
            yield
        finally:
            self.refused = before

    # Being the device.

    def __enter__(self) -> PretendGPU:
        self._stack, total = ExitStack(), self.memory or 140 * 10**9
        patches: list[tuple[Any, str, Any]] = [
            (Tensor, "device", property(self.device)),
            (Tensor, "is_cuda", property(self.has)),
            (Tensor, "is_cpu", property(lambda tensor: self.device(tensor).type == "cpu")),
            (Tensor, "get_device", lambda tensor: 0 if self.has(tensor) else -1),
            (torch, "Generator", type("Generator", (Generator,), {"gpu": self})),
            (threading.Thread, "run", self._with_modes(threading.Thread.run)),
        ]
        properties = SimpleNamespace(name="pretended", total_memory=total, major=9, minor=0)
        for name, value in {
            "_lazy_init": None,
            "is_available": True,
            "is_initialized": True,
            "device_count": 1,
            "current_device": 0,
            "empty_cache": None,
            "get_device_name": properties.name,
            "get_device_capability": (9, 0),
            "get_device_properties": properties,
        }.items():
            patches.append((torch.cuda, name, lambda *_, value=value, **__: value))
        patches += [
            (torch.cuda, "synchronize", lambda *_: self.record("sync", "cuda.synchronize")),
            (torch.cuda, "mem_get_info", lambda *_: (total - self.sweep(), total)),
            (torch.cuda, "memory_reserved", lambda *_: self.sweep()),
            (torch.cuda, "memory_allocated", lambda *_: self.sweep()),
            (torch.cuda, "max_memory_allocated", lambda *_: self.peak),
            (torch.cuda, "max_memory_reserved", lambda *_: self.peak),
            (
                torch.cuda,
                "set_sync_debug_mode",
                lambda mode: setattr(self, "tells", mode == "warn"),
            ),
            (
                torch.cuda,
                "set_per_process_memory_fraction",
                lambda share, *_: setattr(self, "memory", int(share * total)),
            ),
            (
                torch.cuda,
                "reset_peak_memory_stats",
                lambda *_: setattr(self, "peak", self.sweep()),
            ),
        ]
        for owner, name, value in patches + graphs.patches(self):
            self._stack.enter_context(mock.patch.object(owner, name, value, create=True))
        self._stack.enter_context(Functions(self))
        self._stack.enter_context(Operations(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def _with_modes(self, run: Any) -> Any:
        def inside(thread: threading.Thread) -> None:
            with Functions(self), Operations(self):
                run(thread)

        return inside

    @contextmanager
    def telling(self, name: str, value: bool) -> Iterator[None]:
        """Tells the operations in here, of this thread, something; they ask `told`."""
        before = self.told(name)
        setattr(self._told, name, value)
        try:
            yield
        finally:
            setattr(self._told, name, before)

    def told(self, name: str) -> bool | None:
        """side: where all results are; named: whether the caller has named a device."""
        return getattr(self._told, name, None)
