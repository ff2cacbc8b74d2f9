"""Interpolates between the codes of two users, and measures the lists on the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.apply.generate.codes import check_decodes, decode
from recae.apply.generate.fitting import FloatArray, histories
from recae.data import Interactions
from recae.data.csr import row_means, row_numbers
from recae.data.item_table import ItemTable
from recae.errors import check_integer, check_option, explained
from recae.models.neural._base import NeuralRecommender
from recae.ranking.top_k import top_k
from recae.recommend.requests import resolve
from recae.system.machine import row_batches
from recae.system.threads import survives_fork

MOST_STEPS = 1000
"""Steps of a path, which are decoded together: steps x n_items scores."""


@explained
@survives_fork
def interpolate(
    model: Any,
    user_a: Any,
    user_b: Any,
    steps: int = 7,
    k: int = 10,
    *,
    history: Interactions | Any = None,
    path: str = "straight",
    titles: Any = None,
) -> pd.DataFrame:
    """Recommends for codes between those of two users.

    The codes of the two histories are joined by a line, and `steps` codes on it are decoded. The
    best k items of each form a list, without the items that either user has. Returns a frame `step,
    share, item_id, score, rank`, with share from 0 (user_a) to 1 (user_b), and title if titles are
    given: a mapping or Series from item ids, or a table with the columns item_id and title.

    model: fitted, with a decoder that needs only the code, such as MultVAE. history: as in
    `recommend`; None for the interactions stored in the model. path: "straight" or "spherical",
    which keeps the length of the codes. On MovieLens 1M codes half way have a higher likelihood for
    both users on the straight path, and the lists are equally coherent (`python -m evaluation
    synthetic_users`). See `path_quality`.

    Raises ConfigError for a model without such a code and for bad options, DataError for users who
    are unknown or have no item of the model, and for unusable titles.

    >>> recae.apply.generate.interpolate(vae, 0, 1, steps=3, k=1)["share"].tolist()
    [0.0, 0.5, 1.0]
    """
    model, both, most = _checked(model, user_a, user_b, steps, k, history)
    table = None if titles is None else ItemTable(titles)
    walks = walk(model, both[:1], both[1:], steps, most, path)
    columns, scores = walks.items[0], walks.scores[0]
    items = model.items_.decode(np.maximum(columns, 0))
    step, place = np.nonzero(columns >= 0)
    frame = pd.DataFrame(
        {
            "step": step,
            "share": np.linspace(0, 1, steps)[step],
            "item_id": items[step, place],
            "score": scores[step, place],
            "rank": place + 1,
        }
    )
    if table is not None:
        frame["title"] = table.texts(frame["item_id"], missing="")
    return frame


@explained
@survives_fork
def path_quality(
    model: Any,
    user_a: Any,
    user_b: Any,
    steps: int = 7,
    k: int = 10,
    *,
    history: Interactions | Any = None,
    data: Interactions | Any = None,
    path: str = "straight",
) -> pd.DataFrame:
    """Measures the lists on the path between two users.

    A frame with the columns step and share, and these measures. likelihood_a and likelihood_b: the
    mean log probability (softmax of the scores) of each user's items. kept_a and kept_b: the share
    of the first and of the last list in this step's list. coherence: the mean cosine between the
    items of the list by their users in `data` (None for the interactions stored in the model).
    mixed: the same for a list mixed from the best items of both ends, in proportion to the step's
    share.

    Raises as `interpolate` does, and DataError without data to measure coherence.

    >>> recae.apply.generate.path_quality(vae, 0, 1, steps=3, k=1)["kept_a"].tolist()[0]
    1.0
    """
    model, both, most = _checked(model, user_a, user_b, steps, k, history)
    known = histories(model, data).matrix
    walks = walk(model, both[:1], both[1:], steps, most, path)
    return pd.DataFrame(
        {
            "step": np.arange(steps),
            "share": np.linspace(0, 1, steps),
            "likelihood_a": walks.likelihood_a[0],
            "likelihood_b": walks.likelihood_b[0],
            "kept_a": kept(walks.items, 0)[0],
            "kept_b": kept(walks.items, -1)[0],
            "coherence": coherence(walks.items, known)[0],
            "mixed": coherence(mixed(walks.items), known)[0],
        }
    )


def _checked(
    model: Any, user_a: Any, user_b: Any, steps: object, k: object, history: Any
) -> tuple[NeuralRecommender, Any, int]:
    """The model, the histories of both users, (2, n_items) CSR, and the length of lists."""
    model = check_decodes(model)
    check_integer("steps", steps, 2, MOST_STEPS)
    most = min(check_integer("k", k), len(model.items_))
    request = resolve(model, [user_a, user_b], history, "raise")
    return model, request.matrix, most


PATHS = ("straight", "spherical")
ROWS = 1024
"""Lists, or users, computed together."""


def path_codes(start: Tensor, end: Tensor, steps: int, path: str) -> Tensor:
    """Codes on a path, (pairs, width) twice -> (pairs, steps, width), both ends included.

    straight: (1 - t) a + t b. spherical: along the arc between their directions, with the length
    changing linearly (Shoemake, SIGGRAPH 1985); straight for parallel, opposite or zero codes.
    Raises ConfigError for another path.
    """
    check_option("path", path, PATHS)
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
    """Lists on the paths between pairs of users: items, scores (pairs, steps, k), -1 where no item
    is left; likelihood_a, likelihood_b (pairs, steps), mean log probabilities of each history."""

    items: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    likelihood_a: FloatArray
    likelihood_b: FloatArray


def walk(model: NeuralRecommender, a: Any, b: Any, steps: int, k: int, path: str) -> Walks:
    """Lists on the paths from each row of a to the same row of b, CSR (pairs, n_items)."""
    codes = path_codes(model._embed_rows(a).cpu(), model._embed_rows(b).cpu(), steps, path)
    items, scores = [], []
    likelihoods: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for rows in row_batches(len(codes), steps, ROWS):
        some = decode(model, codes[rows].flatten(0, 1)).cpu()
        repeated = np.repeat(np.arange(len(codes))[rows], steps)  # a history for each step
        here, there = a[repeated], b[repeated]
        logs = some.log_softmax(1)
        for found, of in zip(likelihoods, (here, there), strict=True):
            at = torch.from_numpy(row_numbers(of.indptr)), torch.from_numpy(of.indices).long()
            found.append(row_means(logs[at].double().numpy(), of.indptr).reshape(-1, steps))
        best = top_k(some, k, exclude=here + there, overwrite=True)
        items.append(best.items.reshape(-1, steps, k).astype(np.int64))
        scores.append(best.scores.reshape(-1, steps, k))
    one, two = (np.concatenate(found) for found in likelihoods)
    return Walks(np.concatenate(items), np.concatenate(scores), one, two)


def kept(items: npt.NDArray[np.int64], end: int) -> FloatArray:
    """The share of the list of step `end` that is in each step's list, (pairs, steps)."""
    at_end = items[:, end]  # (pairs, k)
    there = (items[:, :, :, None] == at_end[:, None, None, :]) & (at_end >= 0)[:, None, None, :]
    counts = there.any(axis=2).sum(axis=2)
    return np.asarray(counts / np.maximum((at_end >= 0).sum(axis=1), 1)[:, None])


def mixed(items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Lists (pairs, steps, k) mixed from those of both ends: the best items of the first, fewer at
    each step, then the best other items of the last."""
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
    """The mean cosine between the user columns of the items of each list, (..., k) -> (...).

    known: CSR (users, n_items). With unit columns c_i the sum over pairs is |sum c_i|^2 minus the
    number of nonzero columns; NaN for lists of fewer than two items.
    """
    flat = lists.reshape(-1, lists.shape[-1])
    counts = np.bincount(known.indices, minlength=known.shape[1])
    lengths = np.where(counts > 0, np.sqrt(counts), 1)
    unit = sp.csr_matrix(
        (1 / lengths[known.indices], known.indices, known.indptr), shape=known.shape
    ).T.tocsr()
    out = np.empty(len(flat))
    for part in row_batches(len(flat), 1, ROWS):
        some = flat[part]
        row, place = np.nonzero(some >= 0)
        columns = some[row, place]
        cells = sp.csr_matrix((np.ones(len(row)), (row, columns)), (len(some), known.shape[1]))
        sums = np.asarray((cells @ unit).power(2).sum(axis=1)).ravel()
        own = np.bincount(row, weights=counts[columns] > 0, minlength=len(some))
        size = (some >= 0).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[part] = (sums - own) / (size * (size - 1))
    return out.reshape(lists.shape[:-1])
