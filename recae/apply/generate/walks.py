"""Lists along the way from one code to another, and what is measured of them, for many pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.apply.generate.codes import decode
from recae.data.csr import row_numbers
from recae.errors import unknown_option
from recae.models.neural._base import NeuralRecommender
from recae.ranking.top_k import top_k

FloatArray = npt.NDArray[np.float64]

PATHS = ("straight", "spherical")
ROWS = 1024
"""Lists, or users, handled together."""


def path_codes(start: Tensor, end: Tensor, steps: int, path: str) -> Tensor:
    """Codes along the way, (pairs, width) twice -> (pairs, steps, width), both ends included.

    straight: (1 - t) a + t b. spherical: along the arc between their directions, the length going
    from one to the other (Shoemake, SIGGRAPH 1985); straight where they point the same or the
    opposite way, or nowhere. Raises ConfigError for another path.
    """
    if path not in PATHS:
        raise unknown_option("path", path, PATHS)
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[None, :, None]
    a, b = start.double()[:, None, :], end.double()[:, None, :]
    straight = (1 - t) * a + t * b
    if path == "straight":
        return straight.float()
    lengths = [some.norm(dim=2, keepdim=True) for some in (a, b)]
    cosine = (a * b).sum(2, keepdim=True) / (lengths[0] * lengths[1]).clamp(min=1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = angle.sin()
    arc = ((1 - t) * angle).sin() * a / lengths[0].clamp(min=1e-12)
    arc = arc + (t * angle).sin() * b / lengths[1].clamp(min=1e-12)
    length = (1 - t) * lengths[0] + t * lengths[1]
    curved = length * arc / sine.clamp(min=1e-12)
    bent = (sine > 1e-6) & (torch.minimum(*lengths) > 1e-9)
    return torch.where(bent, curved, straight).float()


@dataclass(frozen=True)
class Walks:
    """The ways between pairs of users: items, scores (pairs, steps, k), -1 where nothing is left;
    likelihood_a, likelihood_b (pairs, steps), mean log probabilities of what each user has."""

    items: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    likelihood_a: FloatArray
    likelihood_b: FloatArray


def walk(model: NeuralRecommender, a: Any, b: Any, steps: int, k: int, path: str) -> Walks:
    """The ways from each row of a to the same row of b, CSR histories (pairs, n_items)."""
    codes = path_codes(model._embed_rows(a).cpu(), model._embed_rows(b).cpu(), steps, path)
    items, scores = [], []
    likelihoods: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    pairs = max(ROWS // steps, 1)
    for start in range(0, len(codes), pairs):
        rows = slice(start, start + pairs)
        some = decode(model, codes[rows].flatten(0, 1)).cpu()
        here, there = (_repeated(part[rows], steps) for part in (a, b))
        logs = some.log_softmax(1)
        for found, histories in zip(likelihoods, (here, there), strict=True):
            found.append(_mean_at(logs, histories).reshape(-1, steps))
        best = top_k(some, k, exclude=here + there, overwrite=True)
        items.append(best.items.reshape(-1, steps, k).astype(np.int64))
        scores.append(best.scores.reshape(-1, steps, k))
    one, two = (np.concatenate(found) for found in likelihoods)
    return Walks(np.concatenate(items), np.concatenate(scores), one, two)


def kept(items: npt.NDArray[np.int64], end: int) -> FloatArray:
    """The share of the list of step `end` that each step's list has, (pairs, steps)."""
    at_end = items[:, end]  # (pairs, k)
    there = (items[:, :, :, None] == at_end[:, None, None, :]) & (at_end >= 0)[:, None, None, :]
    counts = there.any(axis=2).sum(axis=2)
    shares: FloatArray = counts / np.maximum((at_end >= 0).sum(axis=1), 1)[:, None]
    return shares


def mixed(items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Lists (pairs, steps, k) made of both ends' lists: the best of the first, fewer at each step,
    and then the best of the last that are not among them."""
    pairs, steps, k = items.shape
    out = np.full_like(items, -1)
    for step in range(steps):
        own = round(k * (1 - step / (steps - 1)))
        first, last = items[:, 0, :own], items[:, -1]
        new = ~(last[:, :, None] == first[:, None, :]).any(axis=2) & (last >= 0)
        chosen = new & (new.cumsum(axis=1) <= k - own)
        out[:, step, :own] = first
        row, place = np.nonzero(chosen)
        out[row, step, own + chosen.cumsum(axis=1)[row, place] - 1] = last[row, place]
    return out


def coherence(lists: npt.NDArray[np.int64], known: Any) -> FloatArray:
    """The mean cosine between the items of each list by who has them, (..., k) -> (...).

    known: CSR (users, n_items). With unit columns c_i the sum over pairs is |sum c_i|^2 less the
    items' own; a list of fewer than two items has NaN.
    """
    flat = lists.reshape(-1, lists.shape[-1])
    counts = np.bincount(known.indices, minlength=known.shape[1])
    lengths = np.where(counts > 0, np.sqrt(counts), 1)
    unit = sp.csr_matrix(
        (1 / lengths[known.indices], known.indices, known.indptr), shape=known.shape
    ).T.tocsr()
    out = np.empty(len(flat))
    for start in range(0, len(flat), ROWS):
        some = flat[start : start + ROWS]
        row, place = np.nonzero(some >= 0)
        columns = some[row, place]
        cells = sp.csr_matrix((np.ones(len(row)), (row, columns)), (len(some), known.shape[1]))
        sums = np.asarray((cells @ unit).power(2).sum(axis=1)).ravel()
        own = np.bincount(row, weights=counts[columns] > 0, minlength=len(some))
        size = (some >= 0).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[start : start + ROWS] = (sums - own) / (size * (size - 1))
    return out.reshape(lists.shape[:-1])


def _repeated(histories: Any, steps: int) -> Any:
    """Every row so many times, one after the other."""
    return histories[np.repeat(np.arange(histories.shape[0]), steps)]


def _mean_at(values: Tensor, histories: Any) -> FloatArray:
    """The mean of each row's values at the columns of a CSR, (rows,)."""
    rows = row_numbers(histories.indptr)
    at = values[torch.from_numpy(rows), torch.from_numpy(histories.indices.astype(np.int64))]
    sums = np.bincount(rows, weights=at.double().numpy(), minlength=histories.shape[0])
    means: FloatArray = sums / np.maximum(np.diff(histories.indptr), 1)
    return means
