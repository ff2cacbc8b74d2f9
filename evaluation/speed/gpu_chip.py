"""Measures the rates of a chip, and generates the data on which models are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.nn.products import product
from recae.rng import numpy_generator

EXPONENT = 0.8
"""Exponent of the power law of popularity by rank."""


def matrix_rate(size: int, dtype: torch.dtype, device: torch.device, tries: int = 5) -> float:
    """FLOP/s of a product of square matrices, the best of several runs."""
    left, right = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / best_seconds(lambda: left @ right, device, tries)


def logits_rate(
    items: int, multiply: Callable[[Tensor, Tensor], Tensor], device: torch.device, tries: int = 5
) -> float:
    """FLOP/s of the three products of a last layer of 600 units, for 500 users."""
    hidden, weight = (torch.rand(n, 600, device=device).bfloat16() for n in (500, items))

    def run() -> None:
        logits = multiply(hidden, weight.t())
        multiply(logits, weight)
        multiply(logits.t(), hidden)

    return 3 * 2 * 500 * 600 * items / best_seconds(run, device, tries)


def copy_rate(size: int, device: torch.device, tries: int = 5) -> float:
    """Bytes per second of a copy of this many bytes, counting reads and writes."""
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * len(source) / best_seconds(lambda: target.copy_(source), device, tries)


def chip(device: torch.device, size: int) -> dict[str, float]:
    """FLOP/s in float32, with TF32 and in bfloat16, of logits in bfloat16 whose rows do not end at
    a multiple of 16 bytes, and bytes per second of a copy."""
    with tf32(False):
        found = {"float32": matrix_rate(size, torch.float32, device)}
    if device.type == "cuda":
        with tf32(True):
            found["tf32"] = matrix_rate(size, torch.float32, device)
    found["bfloat16"] = matrix_rate(size, torch.bfloat16, device)
    for name, multiply in (("plain", torch.matmul), ("aligned", product)):
        found[f"logits, {name}"] = logits_rate(2 * size + 4, multiply, device)
    return found | {"copy": copy_rate(16 * size**2, device)}


def best_seconds(run: Callable[[], object], device: torch.device, tries: int) -> float:
    """The shortest of several synchronised runs, after one that does not count."""
    best = float("inf")
    for number in range(tries + 1):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        if number:
            best = min(best, time.perf_counter() - started)
    return best


def wait(device: torch.device) -> None:
    """Waits until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether products in float32 may round their factors to TF32 inside the block."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def synthetic(users: int, items: int, interactions: int, seed: int = 0) -> sp.csr_matrix:
    """A matrix of `interactions` ones, (users, items) float32: items with a long tail, histories of
    log-normal length, no empty user.

    Raises ConfigError for more than half of the cells, or for fewer interactions than users.
    """
    if not users <= interactions <= users * items // 2:
        raise ConfigError(
            f"{interactions:,} interactions of {users:,} users and {items:,} items: need at least "
            "one per user and at most half of the cells"
        )
    generator = numpy_generator(seed)
    # The inverse of the power law's distribution function takes numbers in [0, 1) to ranks.
    low, high = (float(rank) ** (1 - EXPONENT) for rank in (10, items + 10))
    places = generator.permutation(items)
    activity = np.exp(generator.standard_normal(users))
    cells = np.arange(users, dtype=np.int64) * items + generator.integers(items, size=users)
    first = cells
    while len(cells) < interactions:
        size = int(1.2 * (interactions - len(cells))) + 100
        times = generator.multinomial(size, activity / activity.sum())
        ranks = (low + (high - low) * generator.random(size)) ** (1 / (1 - EXPONENT)) - 10
        what = places[np.clip(ranks.astype(np.int64), 0, items - 1)]
        drawn = np.repeat(np.arange(users, dtype=np.int64), times) * items + what
        cells = np.sort(np.concatenate([cells, drawn]))  # union1d takes seven times as long
        cells = cells[np.append(True, cells[1:] != cells[:-1])]
    free = np.ones(len(cells), bool)  # the cells that may go; no user loses the last one
    free[np.searchsorted(cells, first)] = False
    dropped = generator.choice(np.flatnonzero(free), len(cells) - interactions, replace=False)
    cells = np.delete(cells, dropped)
    bounds = np.searchsorted(cells, np.arange(users + 1, dtype=np.int64) * items)
    values = np.ones(len(cells), np.float32)
    return sp.csr_matrix(
        (values, (cells % items).astype(np.int32), bounds.astype(np.int32)), shape=(users, items)
    )
