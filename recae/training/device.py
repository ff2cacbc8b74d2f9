"""Chooses the device of a training and builds batches on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.nn import Batch, Ragged
from recae.nn.batch import sent
from recae.rng import Stream, numpy_generator
from recae.system.machine import gpu_room
from recae.training.batches import ArrayLoader, Loader, SparseLoader

CPU_UNITS = ("avx512_bf16", "amx_tile")
"""Instruction sets with which a processor multiplies in bfloat16."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bfloat16 natively, which is faster."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Before torch 2.6 these functions do not exist: the answer is then no.
    asked = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in CPU_UNITS)
    return any(ask() for ask in asked if ask is not None)


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device of that name; "auto" is the first GPU if there is one, else the CPU.

    In a process forked from one that has used a GPU, CUDA cannot start: there "auto" is the CPU.
    Raises ConfigError for a device that does not exist here, and for one that is neither a CPU nor
    a GPU of CUDA or ROCm: nothing is tested on others ("mps", "xpu", "meta").
    """
    forked = getattr(torch.cuda, "_is_in_bad_fork", bool)()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() and not forked else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"unknown device {device!r}: use 'auto', 'cpu', 'cuda' or 'cuda:1'",
            parameter="device",
            value=device,
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise ConfigError(
            f"device {str(resolved)!r} is not supported: use 'auto', 'cpu', 'cuda' or 'cuda:1'",
            parameter="device",
            value=device,
        )
    if resolved.type == "cuda" and forked:
        raise ConfigError(
            f"device {device!r} cannot be used here: the process was forked from one that has used "
            "a GPU; start it with multiprocessing's method 'spawn', or use 'cpu'",
            parameter="device",
            value=device,
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError(
            f"device {device!r} does not exist (GPUs found: {found}): use 'auto' or 'cpu'",
            parameter="device",
            value=device,
        )
    return resolved


BLOCK_ENTRIES = 1 << 22
"""Entries gathered at a time: 48 MiB of temporary memory, and few kernel launches a batch."""

SHARE = 0.25
"""Share of a device's free memory that the matrix may take."""


class DeviceLoader:
    """The batches of a SparseLoader, to the same bits, from a copy of its matrix on the device.

    The order of an epoch is drawn on the host, by the same generator, and copied to the device
    once, with the bounds of the rows. Rows are then gathered on the device for several batches at a
    time, and a batch is a slice of them. The host never waits for the device, because it knows all
    sizes from its own copy.

    It takes 8 or 12 bytes an entry, 12 if the target has values of its own, and 16 a row.
    """

    def __init__(self, loader: SparseLoader, device: torch.device) -> None:
        self.loader, self.device = loader, device
        self.rows = loader._rows()
        self.starts = loader.input.indptr[:-1].astype(np.int64)
        self.lengths = np.diff(loader.input.indptr).astype(np.int64)
        self.indices = self._up(loader.input.indices.astype(np.int32, copy=False))
        self.values = self._up(loader.input.data)
        self.target_values = None if loader.target is None else self._up(loader.target.data)

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the device."""
        generator = numpy_generator(self.loader.seed, Stream.SHUFFLE, number)
        order, size = generator.permutation(self.rows), self.loader.batch_size
        bounds = np.concatenate([[0], np.cumsum(self.lengths[order])])
        rows, starts, ends = (self._up(part) for part in (order, self.starts[order], bounds))
        low = 0
        while low < len(order):
            fitting = int(np.searchsorted(bounds, bounds[low] + BLOCK_ENTRIES, side="right")) - 1
            high = min(low + max((fitting - low) // size, 1) * size, len(order))
            part = slice(low, high)
            here = bounds[low : high + 1] - bounds[low]
            yield from self._slices(
                rows[part], starts[part], ends[low : high + 1] - ends[low], here, size
            )
            low = high

    def _slices(
        self, rows: Tensor, starts: Tensor, offsets: Tensor, bounds: np.ndarray, size: int
    ) -> Iterator[Batch]:
        """Batches of some rows, given where they start; bounds: the offsets, on the host."""
        n_entries, width = int(bounds[-1]), self.loader.input.shape[1]
        shift = torch.repeat_interleave(
            starts - offsets[:-1], offsets.diff(), output_size=n_entries
        )
        entries = shift.add_(torch.arange(n_entries, device=self.device))
        columns, values = self.indices[entries].long(), self.values[entries]
        targets = None if self.target_values is None else self.target_values[entries]
        del shift, entries
        for low in range(0, len(rows), size):
            high = min(low + size, len(rows))
            inside = slice(int(bounds[low]), int(bounds[high]))
            cut = offsets[low : high + 1] - offsets[low]
            known = bounds[low : high + 1] - bounds[low]
            input = Ragged(columns[inside], cut, values[inside], width, ends=known)
            target = input if targets is None else input.with_values(targets[inside])
            yield Batch(input, target, rows[low:high])

    def _up(self, numbers: np.ndarray) -> Tensor:
        # A copy first: matrices of histories are read-only, and torch has no read-only tensors.
        return sent(torch.from_numpy(np.array(numbers)), self.device)


def on_device(loader: Loader, device: torch.device) -> Loader:
    """A loader whose data are on the device, if they fit in `SHARE` of its free memory: a
    DeviceLoader for a plain SparseLoader, an ArrayLoader for an ArrayLoader; else, and always on
    the CPU, the loader itself."""
    if device.type == "cpu" or type(loader) not in (SparseLoader, ArrayLoader):
        return loader
    if device.type == "cuda":
        if loader_bytes(loader) > SHARE * gpu_room(device):
            return loader
    if isinstance(loader, ArrayLoader):
        target = None if loader.target is None else sent(loader.target, device)
        return replace(loader, input=sent(loader.input, device), target=target)
    assert isinstance(loader, SparseLoader)
    return DeviceLoader(loader, device)


def loader_bytes(loader: Loader) -> int:
    """Bytes that the data of a loader take on a device."""
    if isinstance(loader, ArrayLoader):
        parts = [part for part in (loader.input, loader.target) if part is not None]
        return sum(part.numel() * part.element_size() for part in parts)
    assert isinstance(loader, SparseLoader)
    return matrix_bytes(loader.input, loader.target)


def matrix_bytes(input: Any, target: Any | None) -> int:
    """Bytes that a DeviceLoader keeps on its device."""
    an_entry = 8 if target is None else 12
    return int(an_entry * input.nnz + 16 * input.shape[0])
