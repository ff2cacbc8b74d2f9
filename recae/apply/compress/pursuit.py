"""Matching pursuit: quantised sparse codes of vectors, and the dictionary fitted to them.

The support is found by orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad 1993), a sixth
of the units at a time; each step solves for all values again. Values are then quantised to 2^bits
levels, one unit after the other, each to the best level for the residual of the other units. So
overlapping units correct each other's rounding. The dictionary is then updated in closed form by
the method of optimal directions (Engan, Aase & Husoy 1999), and the codes are computed again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recae.rng import Stream, torch_generator
from recae.system.machine import row_batches
from recae.system.progress import bar

STEPS = 6
"""Number of steps in the search of a support."""

PASSES = 3
RIDGE = 1e-5
CELLS = 1 << 25
"""Numbers of the Gram matrices that are held at once."""

SAMPLE = 200_000


@dataclass(frozen=True)
class Codes:
    """support (n, active) int64; values (n, active), each one of `levels`, ascending."""

    support: Tensor
    values: Tensor
    levels: Tensor

    def rebuilt(self, atoms: Tensor) -> Tensor:
        """The decoded rows, (n, width)."""
        out = torch.empty(len(self.support), atoms.shape[1])
        for part in _blocks(self.support, atoms.shape[1]):
            z = self.values[part, None]  # (rows, 1, active)
            out[part] = torch.bmm(z, atoms[self.support[part]])[:, 0]
        return out

    def errors(self, rows: Tensor, atoms: Tensor) -> Tensor:
        """Squared error of each row, (n,)."""
        return (rows - self.rebuilt(atoms)).square().sum(1)


def pursue(rows: Tensor, atoms: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """Supports and least-squares values, (n, active) each. atoms: (units, width), length one."""
    support = torch.empty(len(rows), active, dtype=torch.int64)
    values = torch.empty(len(rows), active)
    gram = atoms @ atoms.t()
    for part in _blocks(support, len(atoms) + atoms.shape[1] * active):
        some = rows[part]
        toward = some @ atoms.t()  # (rows, units)
        found, left = torch.empty(len(some), 0, dtype=torch.int64), toward
        for step in range(1, STEPS + 1):
            more = active * step // STEPS - found.shape[1]
            if not more:
                continue
            score = left.abs().scatter(1, found, -1.0)
            found = torch.cat([found, score.topk(more, dim=1).indices], dim=1)
            z = _least_squares(toward, gram, found)
            if step < STEPS:
                rebuilt = torch.bmm(z[:, None], atoms[found])[:, 0]
                left = (some - rebuilt) @ atoms.t()
        support[part], values[part] = found, z
    return support, values


def quantise(rows: Tensor, atoms: Tensor, support: Tensor, values: Tensor, bits: int) -> Codes:
    """Codes with values quantised to levels; the levels are fitted by Lloyd's algorithm (Lloyd
    1982)."""
    levels = table(values, bits)
    values, free = _descend(rows, atoms, support, values, levels)
    levels = table(free, bits)
    return Codes(support, _descend(rows, atoms, support, values, levels)[0], levels)


def refine(
    rows: Tensor,
    weights: Tensor,
    atoms: Tensor,
    active: int,
    bits: int,
    *,
    rounds: int,
    seed: int,
    progress: bool | None,
) -> tuple[Tensor, Codes]:
    """The best of `rounds` dictionaries and its codes; both are fitted alternately.

    weights: (n,), of the squared errors of the rows. The error is at most that of the first round.
    """
    best: tuple[float, Tensor, Codes] | None = None
    previous: Tensor | None = None
    with bar(rounds, "codes", "round", progress) as shown:
        for number in range(1, rounds + 1):
            codes = quantise(rows, atoms, *pursue(rows, atoms, active), bits)
            if previous is not None:
                codes = _better(rows, atoms, codes, previous, bits)
            errors = weights * codes.errors(rows, atoms)
            if best is None or float(errors.sum()) < best[0]:
                best = float(errors.sum()), atoms, codes
            previous = codes.support
            if number < rounds:
                atoms = _directions(rows, weights, errors, atoms, codes, seed + number)
            shown.update()
    assert best is not None
    return best[1:]


def table(values: Tensor, bits: int) -> Tensor:
    """The 2^bits levels, ascending, that quantise values with the least squared error."""
    x = np.sort(values.flatten().numpy().astype(np.float64))
    x = x[:: max(len(x) // SAMPLE, 1)]
    found = np.quantile(x, (np.arange(2**bits) + 0.5) / 2**bits)
    total = np.concatenate([[0.0], np.cumsum(x)])
    for _ in range(50):
        edges = np.searchsorted(x, (found[1:] + found[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(x)]])
        count = np.diff(edges)
        mean = np.diff(total[edges]) / np.maximum(count, 1)
        found = np.sort(np.where(count > 0, mean, found))
    return torch.from_numpy(found.astype(np.float32))


def nearest(values: Tensor, levels: Tensor) -> Tensor:
    """The indices of the levels nearest to the values, in the shape of the values."""
    return torch.bucketize(values, (levels[1:] + levels[:-1]) / 2)


def _least_squares(toward: Tensor, gram: Tensor, support: Tensor) -> Tensor:
    among = gram[support[:, :, None], support[:, None, :]]  # (rows, k, k)
    among.diagonal(dim1=1, dim2=2).add_(RIDGE)
    factor, failed = torch.linalg.cholesky_ex(among)
    if bool(failed.any()):  # units that are the same to within rounding
        among.diagonal(dim1=1, dim2=2).add_(1e-2)
        factor = torch.linalg.cholesky(among)
    return torch.cholesky_solve(toward.gather(1, support)[:, :, None], factor)[:, :, 0]


def _descend(
    rows: Tensor, atoms: Tensor, support: Tensor, values: Tensor, levels: Tensor
) -> tuple[Tensor, Tensor]:
    """Values quantised unit by unit, and the optimal value of each given the others."""
    rounded, free = values.clone(), torch.empty_like(values)
    gram = atoms @ atoms.t()
    for part in _blocks(support, len(atoms)):
        of, z = support[part], rounded[part]
        among = gram[of[:, :, None], of[:, None, :]]
        left = (rows[part] @ atoms.t()).gather(1, of) - torch.bmm(among, z[:, :, None])[:, :, 0]
        for _ in range(PASSES):
            for unit in range(of.shape[1]):
                wanted = left[:, unit] + z[:, unit]
                change = levels[nearest(wanted, levels)] - z[:, unit]
                z[:, unit] += change
                left -= among[:, unit] * change[:, None]
        free[part] = left + z
    return rounded, free


def _better(rows: Tensor, atoms: Tensor, codes: Codes, support: Tensor, bits: int) -> Codes:
    """For each row, the better of the codes and the codes with another support."""
    values, gram = torch.empty(support.shape), atoms @ atoms.t()
    for part in _blocks(support, len(atoms)):
        values[part] = _least_squares(rows[part] @ atoms.t(), gram, support[part])
    kept, _ = _descend(rows, atoms, support, values, codes.levels)
    other = Codes(support, kept, codes.levels)
    wins = other.errors(rows, atoms) < codes.errors(rows, atoms)
    return Codes(
        torch.where(wins[:, None], other.support, codes.support),
        torch.where(wins[:, None], other.values, codes.values),
        codes.levels,
    )


def _directions(
    rows: Tensor, weights: Tensor, errors: Tensor, atoms: Tensor, codes: Codes, seed: int
) -> Tensor:
    """The dictionary of least weighted error for given codes; unused units become rows of large
    error."""
    units, root = len(atoms), weights.sqrt()[:, None]
    among, toward = torch.zeros(units, units), torch.zeros_like(atoms)
    for part in row_batches(len(rows), units, CELLS):
        z = torch.zeros(len(rows[part]), units)
        z.scatter_(1, codes.support[part], codes.values[part] * root[part])
        among += z.t() @ z
        toward += z.t() @ (rows[part] * root[part])
    dead = among.diagonal() == 0
    ridge = (1e-4 * among.diagonal().mean()).clamp_min(1e-12)  # rows may all be zero
    among.diagonal().add_(ridge)
    found = torch.linalg.solve(among, toward + ridge * atoms)
    if bool(dead.any()) and float(errors.sum()) > 0:
        generator = torch_generator(seed, Stream.DICTIONARY_UNUSED)
        drawn = torch.multinomial(errors, int(dead.sum()), replacement=True, generator=generator)
        found[dead] = rows[drawn]
    return F.normalize(found, dim=1)


def _blocks(support: Tensor, more: int) -> list[slice]:
    """Slices of the rows, of which each holds active x active and `more` numbers."""
    n, active = support.shape
    step = min(max(CELLS // (active * active + more), 16), 4096)
    return [slice(start, start + step) for start in range(0, n, step)]
