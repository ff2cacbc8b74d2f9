"""Measures of synthetic users: their marginals, privacy, and usefulness for training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from recae.apply.generate.codes import drawn, races
from recae.apply.generate.fitting import FloatArray
from recae.data import Interactions
from recae.data.csr import row_means, row_numbers
from recae.data.splits.folds import Fold
from recae.data.splits.twins import equal_partners, similar_partners
from recae.evaluation import evaluate
from recae.models import EASE, PureSVD
from recae.models.linear._base import LinearRecommender
from recae.recommend.base import Recommender
from recae.rng import Stream, numpy_generator, torch_generator
from recae.system.machine import row_batches

MOST_PAIRED = 3_000
"""The most popular items whose pairs are counted, in a table of 3,000 x 3,000."""
EXPECTED = 5
"""Least expected number of real users with both items of a pair under independence (Cochran, "The
chi-square test of goodness of fit", 1952)."""
MOST_ITEMS = 10_000
"""Largest catalogue for EASE, whose square matrix takes too long beyond."""
Z = 1.959963984540054
"""The 0.975 quantile of the standard normal."""

# Marginals.


def item_shares(matrix: Any) -> FloatArray:
    """Each item's share of all interactions of a CSR matrix, (n_items,)."""
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.asarray(counts / max(counts.sum(), 1))


def compare_items(real: FloatArray, other: FloatArray) -> dict[str, float]:
    """Total variation distance (0: equal, 1: disjoint) and Spearman's rank correlation."""
    from scipy.stats import spearmanr

    distance = 0.5 * float(np.abs(real - other).sum())
    varied = len(real) > 1 and bool(np.ptp(real)) and bool(np.ptp(other))
    correlation = float(spearmanr(real, other).statistic) if varied else float("nan")
    return {"item_distance": distance, "item_rank_correlation": correlation}


def compare_lengths(real: Any, other: Any) -> dict[str, float]:
    """The mean length of histories (users,), and the Kolmogorov-Smirnov distance of lengths."""
    from scipy.stats import ks_2samp

    one, two = np.diff(real.indptr), np.diff(other.indptr)
    gap = float(ks_2samp(one, two, method="asymp").statistic)
    return {"mean_length": float(two.mean()), "length_distance": gap}


class Pairs:
    """Pairs of items popular enough to be compared, and their lifts.

    real: CSR of ones. lift: log of (share of users with both) / (product of the items' shares). It
    covers the pairs (n,) of the most popular items that at least EXPECTED users would have under
    independence. (Choosing pairs by their actual count would exclude those that avoid each other.)
    """

    def __init__(self, real: Any, most: int = MOST_PAIRED) -> None:
        counts = np.bincount(real.indices, minlength=real.shape[1])
        order = np.argsort(-counts, kind="stable")[:most]
        least = EXPECTED * real.shape[0] / max(int(counts.max(initial=0)), 1)
        self.items = np.sort(order[counts[order] >= least])
        popular = counts[self.items].astype(np.float64)
        expected = np.outer(popular, popular) / real.shape[0]
        self.pairs = np.nonzero(np.triu(expected >= EXPECTED, 1))
        self.lift = self._lift(self._both(real), real.shape[0])

    def __len__(self) -> int:
        return len(self.pairs[0])

    def compare(self, other: Any) -> dict[str, float]:
        """Pearson's correlation of the log lifts of the pairs in other data with the real ones, and
        the slope of the regression on them (1: as strong; 0: independent). NaN below 3 pairs and
        if all real lifts are equal."""
        from scipy.stats import linregress

        if len(self) < 3 or not np.ptp(self.lift):
            return {"pair_correlation": float("nan"), "pair_slope": float("nan")}
        line: Any = linregress(self.lift, self._lift(self._both(other), other.shape[0]))
        return {
            "pair_correlation": float(np.nan_to_num(line.rvalue)),
            "pair_slope": float(line.slope),
        }

    def _both(self, matrix: Any) -> npt.NDArray[Any]:
        """The number of users with both of two items, (items, items); of one on the diagonal."""
        columns = matrix[:, self.items].astype(np.float32)
        both = np.zeros((len(self.items),) * 2, dtype=np.float32)
        for rows in row_batches(*columns.shape):
            dense = columns[rows].toarray()
            both += dense.T @ dense
        return both

    def _lift(self, both: npt.NDArray[Any], users: int) -> FloatArray:
        single = both.diagonal().astype(np.float64)
        one, two = self.pairs
        together = (both[one, two].astype(np.float64) + 0.5) / users
        alone = (single[one] + 0.5) * (single[two] + 0.5) / users**2
        return np.asarray(np.log(together / alone))


# Privacy.


def nearest(users: Any, others: Any) -> FloatArray:
    """The Jaccard similarity of each user to the most similar of the others, (users,).

    users, others: CSR of ones over the same items. |A and B| / |A or B|: 1 for equal sets, 0 for
    disjoint ones.
    """
    found = np.zeros(users.shape[0])
    sizes, theirs = (np.diff(part.indptr).astype(np.float32) for part in (users, others))
    columns = sp.csr_matrix(others.T).astype(np.float32)
    for rows in row_batches(len(found), others.shape[0]):
        shared = (users[rows].astype(np.float32) @ columns).toarray()  # (block, others)
        either = sizes[rows, None] + theirs - shared
        np.divide(shared, either, out=shared, where=either > 0)
        found[rows] = shared.max(axis=1, initial=0)
    return found


def copies(users: Any, training: Any) -> tuple[float, float]:
    """Shares of users who are exact copies, and near or exact copies, of a training user.

    Exact: the same set, of at least 5 items. Near: a Jaccard similarity of at least 0.8, of sets of
    at least 10 items; by MinHash, which misses about 2 %. Smaller sets are equal by chance.
    """
    sets = sp.vstack([training, users], format="csr")
    trained = np.arange(sets.shape[0]) < training.shape[0]
    exact = equal_partners(sets, trained)[~trained] >= 0
    near = similar_partners(sets, trained)[~trained] >= 0
    return float(exact.mean()), float((exact | near).mean())


@dataclass(frozen=True)
class Attack:
    """The result of a membership inference attack.

    auc: the probability that a member scores higher than a non-member, ties half: 0.5 for a blind
    guess; low, high: its 95 % confidence interval; members, others: the numbers of each.
    """

    auc: float
    low: float
    high: float
    members: int
    others: int


def attack(members: FloatArray, others: FloatArray) -> Attack:
    """The AUC of the scores of an attack, higher for suspected members: (members,), (others,).

    The interval is that of DeLong, DeLong & Clarke-Pearson (Biometrics 1988); with a single member
    or non-member it is 0 to 1.
    """
    from scipy.stats import rankdata

    m, n = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))
    # The number of the other kind with a lower score, ties half: the rank among all minus the rank
    # among the own kind.
    beaten = (ranks[:m] - rankdata(members)) / n
    beating = 1 - (ranks[m:] - rankdata(others)) / m
    auc = float(beaten.mean())
    if min(m, n) < 2:
        return Attack(auc, 0.0, 1.0, m, n)
    half = Z * math.sqrt(beaten.var(ddof=1) / m + beating.var(ddof=1) / n)
    return Attack(auc, max(auc - half, 0.0), min(auc + half, 1.0), m, n)


def own_fit(weights: Any, matrix: Any) -> FloatArray:
    """The mean score that a linear item-item model gives the items of each history, (users,).

    weights: (n_items, n_items) with a zero diagonal, so that an item's score comes from the other
    items of the history; matrix: CSR of ones. 0 for empty histories.
    """
    found = np.zeros(matrix.shape[0])
    for batch in row_batches(*matrix.shape):
        some = matrix[batch]
        scores = np.asarray(some @ weights)  # (block, n_items)
        found[batch] = row_means(scores[row_numbers(some.indptr), some.indices], some.indptr)
    return found


# Usefulness.


def candidates(given: Sequence[Recommender] | None, n_items: int) -> list[Recommender]:
    """The unfitted models: the given ones, or EASE with several l2, or PureSVD for many items."""
    if given is not None:
        return list(given)
    if n_items <= MOST_ITEMS:
        return [EASE(l2=l2) for l2 in (300.0, 1000.0, 3000.0)]
    return [PureSVD(latent=latent) for latent in (32, 128)]


def fit_best(
    models: Sequence[Recommender],
    data: Interactions,
    folds: Sequence[Fold],
    metric: str,
    on_fit: Any = lambda: None,
) -> tuple[float, Recommender]:
    """Chooses the model with the best metric on the first fold; its metric on the second, and it.

    Each data set gets its own best settings.
    """
    best: tuple[float, Recommender] | None = None
    for model in models:
        fitted = model.clone().fit(data, progress=False)
        value = evaluate(fitted, folds[0], [metric], progress=False)[metric]
        if best is None or value > best[0]:
            best = value, fitted
        on_fit()
    assert best is not None
    return evaluate(best[1], folds[1], [metric], progress=False)[metric], best[1]


def item_weights(model: Recommender) -> np.ndarray | None:
    """The (n_items, n_items) weights of a linear model with a zero diagonal; None for others."""
    if not isinstance(model, LinearRecommender):
        return None
    weights: np.ndarray = model.weights_.numpy()
    if weights.diagonal().any():
        weights = weights.copy()
        np.fill_diagonal(weights, 0)
    return weights


BLOCK = 256
"""Users drawn with one stream of random numbers."""


def by_popularity(real: Any, n_users: int, seed: int) -> Any:
    """Users whose items are drawn independently by popularity, with lengths of real users:
    (n_users, n_items) CSR. The marginals are right, without any structure."""
    counts = np.bincount(real.indices, minlength=real.shape[1])
    with np.errstate(divide="ignore"):
        logs = torch.from_numpy(np.log(counts.astype(np.float32)))
    lengths = numpy_generator(seed, Stream.BASELINE_LENGTHS).choice(np.diff(real.indptr), n_users)
    lengths = np.minimum(lengths, int((counts > 0).sum()))
    parts = []
    for number, start in enumerate(range(0, n_users, BLOCK)):
        some = torch.from_numpy(lengths[start : start + BLOCK].astype(np.int64))
        noise = races((len(some), len(logs)), torch_generator(seed, Stream.BASELINE_ITEMS, number))
        columns, ends = drawn(logs.expand(len(some), -1), noise, some)
        ones = np.ones(len(columns), dtype=np.float32)
        parts.append(sp.csr_matrix((ones, columns.numpy(), ends.numpy()), (len(some), len(logs))))
    return sp.vstack(parts, format="csr")


def resampled(real: Any, n_users: int, seed: int) -> Any:
    """Real users drawn with replacement: perfect structure, no privacy."""
    return real[numpy_generator(seed, Stream.BASELINE_USERS).integers(real.shape[0], size=n_users)]
