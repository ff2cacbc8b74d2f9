"""Sums on a GPU in float32, by settings of torch that are restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class _FullSums:
    """A block in which a GPU rounds less than torch lets it by default.

    Convolutions of float32 numbers are not rounded to TF32, and take the same algorithm every time,
    which repeats its bits. Partial sums of a product in bfloat16 are added in float32. A choice by
    `fp32_precision` or `torch.set_float32_matmul_precision` is left alone.

    The settings belong to the process. They are restored when the last thread leaves such a block.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.before: list[tuple[Any, str, Any]] = []

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """The block, for what is computed on this device; nothing on a CPU."""
        if device.type != "cuda":
            yield
            return
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self._change()
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self._restore()

    def _change(self) -> None:
        """Changes the settings, all or none of them, and notes what they were."""
        try:
            for owner, name, value, before in _settings():
                self.before.append((owner, name, before))
                setattr(owner, name, value)
        except BaseException:
            self.inside = 0
            self._restore()
            raise

    def _restore(self) -> None:
        while self.before:
            setattr(*self.before.pop())


def _settings() -> Iterator[tuple[Any, str, Any, Any]]:
    """Each setting as (owner, name, its value in a block, its value now)."""
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    try:
        rounds = cudnn.allow_tf32
    except RuntimeError:  # somebody has chosen by the newer names, `fp32_precision`
        pass
    else:
        yield cudnn, "allow_tf32", False, rounds
    yield cudnn, "deterministic", True, cudnn.deterministic
    yield cudnn, "benchmark", False, cudnn.benchmark
    name = "allow_bf16_reduced_precision_reduction"
    now = getattr(products, name)
    try:
        split = getattr(products, f"{name}_split_k")
    except AttributeError:  # older versions of torch have the one setting
        yield products, name, False, now
    else:
        yield products, name, (False, split), (now, split)


full_sums = _FullSums()
