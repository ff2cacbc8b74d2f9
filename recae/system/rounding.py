"""Sums on a GPU in float32, by settings of torch that are restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class _FullSums:
    """What torch may shorten on a GPU, and by default does, is computed in full inside a block.

    Convolutions of float32 numbers are not rounded to TF32, and take the same algorithm every time,
    which repeats its bits. Partial sums of a product in bfloat16 are added in float32. Products of
    float32 matrices are left as `torch.set_float32_matmul_precision` has them: in float32, unless
    somebody asked for less.

    The settings belong to the process. They are restored when the last thread leaves such a block.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.before: tuple[bool, ...] = ()

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """The block, for what is computed on this device; nothing on a CPU."""
        if device.type != "cuda":
            yield
            return
        with self.lock:
            if not self.inside:
                self.before = self._swap(False, True, False, False)
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self._swap(*self.before)

    @staticmethod
    def _swap(tf32: bool, deterministic: bool, benchmark: bool, reduced: bool) -> tuple[bool, ...]:
        """Sets the four settings and returns what they were."""
        cudnn: Any = torch.backends.cudnn
        products: Any = torch.backends.cuda.matmul
        before = cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
        narrow = products.allow_bf16_reduced_precision_reduction
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = tf32, deterministic, benchmark
        products.allow_bf16_reduced_precision_reduction = reduced
        return *before, narrow


full_sums = _FullSums()
