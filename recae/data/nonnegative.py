"""Non-negative least squares, exactly and for many right sides at once."""

from __future__ import annotations

import torch
from torch import Tensor

FULL = 3
"""Exchanges of all infeasible entries at once that may go by without an improvement."""

MOST = 50
"""Steps, as a multiple of n, after which rounding is taken for the reason, and x for found."""

ROUNDING = 1e-12
"""The share of the largest number below which an entry counts as zero."""


def nonnegative(systems: Tensor, rights: Tensor, positive: Tensor | None = None) -> Tensor:
    """argmin over x >= 0 of x'A x / 2 - b'x for each of some problems, (problems, n) float64.

    systems: A, symmetric positive definite, (problems, n, n) float64, or (n, n) for all of them;
    rights: b, (problems, n) float64; positive: (problems, n) bool, the entries that are tried above
    zero first (default: those with b > 0).

    Block principal pivoting (Kim & Park, "Fast Nonnegative Matrix Factorization: An Active-set-like
    Method and Comparisons", SIAM Journal on Scientific Computing 2011): it solves for the entries
    that are assumed positive, then exchanges every one that is below zero, or whose slope is. Where
    that does not help three times, it exchanges one entry only, which ends after finitely many
    steps. Costs n^3 / 3 operations a problem and step, of which some 5 to 15 are needed. The sizes
    of steps do not depend on the other problems. A matrix that is not positive definite gives NaN.
    """
    found = torch.zeros_like(rights)
    kept = rights > 0 if positive is None else positive.clone()
    left = torch.arange(len(rights), device=rights.device)  # problems that are not solved
    fewest = torch.full((len(rights),), rights.shape[1] + 1, device=rights.device)
    chances = torch.full_like(fewest, FULL)
    places = torch.arange(rights.shape[1], device=rights.device)
    for _ in range(MOST * rights.shape[1]):
        if not len(left):
            break
        a = systems if systems.dim() == 2 else systems[left]
        b, free = rights[left], kept[left]
        x = _solved(a, b, free)
        slope = (a @ x[:, :, None]).squeeze(2) - b if a.dim() == 3 else x @ a - b
        size = b.abs().amax(1, keepdim=True) + slope.abs().amax(1, keepdim=True)
        below = -ROUNDING * x.abs().amax(1, keepdim=True)
        wrong = torch.where(free, x < below, slope < -ROUNDING * size)
        found[left] = x.clamp_min_(0)
        number = wrong.sum(1)
        better = number < fewest[left]
        tries = torch.where(better, FULL, chances[left] - 1)
        fewest[left] = torch.minimum(number, fewest[left])
        chances[left] = tries
        last = torch.where(wrong, places, -1).amax(1, keepdim=True)
        exchanged = wrong & ((tries >= 0)[:, None] | (places == last))
        kept[left] = free ^ exchanged
        left = left[(number > 0) & x.isfinite().all(1)]
    return found


def _solved(a: Tensor, b: Tensor, free: Tensor) -> Tensor:
    """The solution of the equations of the free entries, zeros elsewhere."""
    both = free[:, :, None] & free[:, None, :]
    inner = torch.where(both, a, 0)
    inner.diagonal(dim1=1, dim2=2).add_(~free)
    root, failed = torch.linalg.cholesky_ex(inner)
    solved = torch.cholesky_solve((b * free)[:, :, None], root).squeeze(2)
    return torch.where((failed > 0)[:, None], torch.nan, solved)
