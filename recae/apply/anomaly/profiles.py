"""Detects fake and spam profiles without labels, and explains them by interactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.anomaly.co_rating import CoRating
from recae.apply.anomaly.reconstruction import choice_probabilities, rating_predictions
from recae.apply.anomaly.threshold import bulk_limit, conformal_limit
from recae.data import Interactions, as_interactions
from recae.data.csr import row_means, row_numbers
from recae.errors import DataError, check_flag, check_integer, check_number, explained, warn
from recae.rng import check_seed
from recae.system.progress import check_progress

FEWEST = 20
"""Least number of users with interactions."""
WEIGHTS = {"choice": 1.0, "rating": 0.3, "co_rating": 0.7}
"""Weights of the kinds of evidence, chosen on attacks on ml-latest-small and jester."""
SPARE = 5
"""Ratings with the average error that are added to every profile."""
FLOOR = 0.7
"""Least spread of log(1 + c_u / median) among genuine users."""
LEAST_MEDIAN = 0.01
"""Least median of c_u, in multiples of 1 / users."""


@explained
@dataclass(frozen=True, eq=False)
class Profiles:
    """The result of `detect_profiles`.

    users: a frame with a row for each user in the order of the data. Its columns are user_id, score
    (>= 0, higher is more suspicious), rank (1 is the most suspicious), flagged, and three kinds of
    evidence that sum to the score: choice, rating, co_rating. threshold: users with a higher score
    are flagged; false_alarm_rate: the rate that the threshold was chosen for.

    >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
    >>> profiles = recae.apply.anomaly.detect_profiles(ratings)
    >>> profiles.users.columns.tolist()
    ['user_id', 'score', 'rank', 'flagged', 'choice', 'rating', 'co_rating']
    """

    users: pd.DataFrame
    threshold: float
    false_alarm_rate: float
    data: Interactions = field(repr=False)
    measured: Measured = field(repr=False)

    def flagged(self) -> np.ndarray:
        """The ids of the flagged users, (n,), the most suspicious first.

        >>> profiles.flagged().tolist()
        []
        """
        ordered = self.users[self.users["flagged"]].sort_values("rank")
        return ordered["user_id"].to_numpy()

    def explain(self, user: Any, k: int | None = 10) -> pd.DataFrame:
        """The k interactions of a user that contribute most to the score; None for all of them.

        Columns: item_id; rating; contribution (the contributions of all interactions sum to the
        user's score). choice, rating_error and co_rating sum to the user's evidence of that kind.
        probability is that of the item given the user's other items; usual_probability is given
        other users' items. expected_rating; also_rated is the number of other users with the same
        rating of the item. A negative contribution makes the user less suspicious. Raises DataError
        for an unknown user, ConfigError for k < 1.

        >>> parts = profiles.explain(7, k=None)["contribution"]
        >>> bool(abs(parts.sum() - profiles.users["score"][7]) < 1e-9)
        True
        """
        if k is not None:
            k = check_integer("k", k)
        row = int(self.data.users.encode([user])[0])
        return self.measured.explain(self.data, row, self.users.iloc[row])[:k]

    def clean(self, data: Any = None) -> Interactions:
        """The interactions without the flagged users.

        data: Interactions, a table or a CSR, by default those of `detect_profiles`; users are
        matched by id, all items are kept. Warns with the counts of the users and interactions left
        out. Raises DataError if no interaction is left.

        >>> profiles.clean().n_users
        40
        """
        given = self.data if data is None else as_interactions(data)
        leaving = given.users.lookup(self.flagged())
        kept = np.setdiff1d(np.arange(given.n_users), leaving[leaving >= 0])
        if len(kept) == given.n_users:
            return given
        clean = given.select_users(kept)
        if not clean.nnz:
            raise DataError("without the flagged users no interaction is left: lower the rate")
        warn(
            f"left out {given.n_users - len(kept):,} of {given.n_users:,} users, flagged as fake, "
            f"and {given.nnz - clean.nnz:,} of {given.nnz:,} interactions"
        )
        return clean


@dataclass(frozen=True, eq=False)
class Measured:
    """The reconstruction of each interaction, and the standardised evidence of each user.

    own, usual: log probabilities of the items given the user's others and averaged over users,
    (nnz,). predicted, error: of the ratings, (nnz,), None without ratings. co_rating: of the users
    with interactions. spreads: by kind of evidence, (n_users,), 0 for users without interactions.
    """

    own: np.ndarray
    usual: np.ndarray
    predicted: np.ndarray | None
    error: np.ndarray | None
    co_rating: CoRating
    spreads: dict[str, np.ndarray]

    @property
    def surprise(self) -> np.ndarray:
        """Minus the mean of both log probabilities of an item, in nats."""
        return np.asarray(-(self.own + self.usual) / 2)

    def explain(self, data: Interactions, row: int, found: pd.Series[Any]) -> pd.DataFrame:
        """The items of one profile with the share of each in its three scores, the largest first;
        the shares of a column add up to the score in `found`."""
        indptr = data.matrix.indptr
        at = slice(indptr[row], indptr[row + 1])
        middle = np.median(row_means(self.surprise, indptr)[np.diff(indptr) > 0])
        choice = _shared(float(found["choice"]), self.surprise[at] - middle)
        rating, expected = np.zeros(len(choice)), np.full(len(choice), np.nan)
        if self.error is not None and self.predicted is not None:
            rating = _shared(float(found["rating"]), self.error[at])
            expected = self.predicted[at]
        among = int(np.count_nonzero(np.diff(indptr[: row + 1])))  # its row in co_rating
        parts = self.co_rating.parts(among) if len(choice) else np.zeros(0)
        co_rating = _shared(float(found["co_rating"]), parts)
        frame = pd.DataFrame(
            {
                "item_id": data.items.ids[data.matrix.indices[at]],
                "rating": data.matrix.data[at],
                "contribution": choice + rating + co_rating,
                "choice": choice,
                "rating_error": rating,
                "co_rating": co_rating,
                "probability": np.exp(self.own[at]),
                "usual_probability": np.exp(self.usual[at]),
                "expected_rating": expected,
                "also_rated": self.co_rating.also[at],
            }
        )
        ordered = frame.sort_values("contribution", ascending=False, kind="stable")
        return ordered.reset_index(drop=True)


def _shared(total: float, parts: np.ndarray) -> np.ndarray:
    """A total divided in proportion to parts, (n,); evenly if their sum is not positive."""
    if total == 0 or not len(parts):
        return np.zeros(len(parts))
    weights = parts if parts.sum() > 0 else np.ones(len(parts))
    return np.asarray(total * weights / weights.sum())


@explained
def detect_profiles(
    data: Any,
    *,
    ratings: bool | None = None,
    genuine: Any = None,
    false_alarm_rate: float = 0.01,
    seed: int = 0,
    progress: bool | None = None,
) -> Profiles:
    """Detects fake (shilling) and spam profiles without labels.

    Each profile is reconstructed from a part of it. Autoencoders trained on other users read three
    quarters of a profile and predict the last quarter:

    - choice: the items are improbable, given the user's other items and given any user's (the mean
      of both log probabilities of a multinomial denoising autoencoder);
    - rating: the ratings are far from the predictions of an autoencoder of deviations from the
      items' means (as in AutoRec);
    - co_rating: the same few users gave the same items the same ratings, more often than by chance
      (groups that work through a list of targets; see `recae.apply.anomaly.co_rating`).

    Each is standardised to z by the users below the median, who are assumed genuine. The score is
    the sum of (w max(z, 0))^2, with w = 1 for choice, 0.3 for rating and 0.7 for co_rating.

    data: Interactions whose weights are ratings, a table, or a CSR, (n_users, n_items). ratings:
    whether weights are ratings; None means that they are if they differ. Without ratings only
    choice and co_rating are used, which miss attacks that choose items like genuine users. genuine:
    ids of users known to be genuine, or None. false_alarm_rate: the share of genuine users that may
    be flagged. With `genuine` it holds exactly for users who are exchangeable with them (a
    conformal test; the scores do not use `genuine`); at least 1 / rate - 1 of them with
    interactions are needed. Without `genuine` the threshold is an estimate. It assumes that less
    than a quarter of the users are fake, and that the scores of the others, to the power of 0.8,
    fall off exponentially above their median. (At 0.01 it flags 0.013 of MovieLens 100K, 0 of
    Jester, but 0.03 to 0.06 of sparse or bimodal clean data.) seed, progress: as in `fit` of a
    model.

    Raises DataError for fewer than 20 users with interactions, for genuine users that are unknown
    or too few, and for unreadable data; ConfigError for other bad options. Time: the training of
    six small networks, and for each item the squared number of its raters. Memory: the interactions
    and a few numbers for each, and 4 million pairs of users at a time.

    >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
    >>> planted = recae.apply.anomaly.inject_profiles(ratings, share=0.1, filler=10, seed=1)
    >>> len(recae.apply.anomaly.detect_profiles(planted.data, false_alarm_rate=0.05).users)
    44
    """
    rate = check_number("false_alarm_rate", false_alarm_rate, above=0, below=1)
    seed, rated = check_seed(seed), None if ratings is None else check_flag("ratings", ratings)
    check_progress(progress)
    given = as_interactions(data)
    matrix = given.matrix
    active = np.diff(matrix.indptr) > 0
    if active.sum() < FEWEST:
        raise DataError(
            f"{int(active.sum())} users have interactions; at least {FEWEST} are needed"
        )
    known = None if genuine is None else np.unique(given.users.encode(genuine))
    if known is not None:
        known = known[active[known]]  # users without interactions are never flagged
        conformal_limit(np.zeros(len(known)), rate, "genuine users")  # fail before the work
    parts = measure(matrix, given.weighted if rated is None else rated, seed, progress)
    evidence = {name: (WEIGHTS[name] * np.maximum(z, 0)) ** 2 for name, z in parts.spreads.items()}
    score = np.sum(list(evidence.values()), axis=0)
    if known is None:
        limit = bulk_limit(score[active], rate)
    else:
        limit = conformal_limit(score[known], rate, "genuine users")
    rank = pd.Series(-score).rank(method="first").astype(np.int64)
    users = pd.DataFrame(
        {"user_id": given.users.ids, "score": score, "rank": rank, "flagged": score > limit}
        | evidence
    )
    return Profiles(users, limit, rate, given, parts)


def measure(matrix: Any, rated: bool, seed: int, progress: bool | None) -> Measured:
    """The evidence of every interaction and user of a CSR."""
    sizes = np.diff(matrix.indptr)
    active = np.flatnonzero(sizes)
    some = matrix if len(active) == len(sizes) else matrix[active]  # the same entries
    own, usual = choice_probabilities(some, seed, progress)
    predicted, error = rating_predictions(some, seed, progress) if rated else (None, None)
    co_rating = CoRating(some, rated)
    rating = np.zeros(len(active)) if error is None else log_deviations(error, some.indptr)
    found = {
        "choice": deviations(-(own + usual) / 2, some.indptr),
        "rating": rating,
        "co_rating": co_rating_deviations(co_rating.chances(progress), sizes[active]),
    }
    spreads = {name: np.zeros(len(sizes)) for name in found}
    for name, z in found.items():
        spreads[name][active] = z
    return Measured(own, usual, predicted, error, co_rating, spreads)


def deviations(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Standardised distance of each user's mean above the median user's, (n_users,).

    The standard deviation of a mean of n numbers is sqrt(t^2 + v / n): v within users, t^2 from the
    users below the median, who are mostly genuine.
    """
    means, sizes = row_means(values, indptr), np.diff(indptr)
    rows = row_numbers(indptr)
    within = ((values - means[rows]) ** 2).sum() / max((sizes - 1).clip(0).sum(), 1)
    return _standardised(means, within / np.maximum(sizes, 1), sizes > 0)


def log_deviations(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """As `deviations`, of the logarithm of each user's mean of positive numbers with a long tail.

    Five numbers equal to the overall mean are added to each user's.
    """
    sizes, own = np.diff(indptr), row_means(values, indptr)
    means = np.maximum((own * sizes + SPARE * values.mean()) / (sizes + SPARE), 1e-12)
    squares = (values - own[row_numbers(indptr)]) ** 2
    within = squares.sum() / max((sizes - 1).clip(0).sum(), 1) / np.median(means) ** 2
    return _standardised(np.log(means), within * sizes / (sizes + SPARE) ** 2, sizes > 0)


def co_rating_deviations(chances: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """As `deviations`, of log(1 + c_u / (median c)), with a standard deviation of at least 0.7."""
    there = sizes > 0
    usual = max(float(np.median(chances[there])), LEAST_MEDIAN / int(there.sum()))
    lift = np.log1p(chances / usual)
    return _standardised(lift, np.zeros(len(lift)), there, FLOOR)


def _standardised(
    values: np.ndarray, noise: np.ndarray, there: np.ndarray, floor: float = 0.0
) -> np.ndarray:
    """(value - median) / sqrt(t^2 + noise) for the rows that are there; 0 for the others."""
    middle = np.median(values[there])
    below = there & (values <= middle)
    squares = (values[below] - middle) ** 2
    between = max(squares.mean() - noise[below].mean(), 0.05 * squares.mean(), floor**2, 1e-18)
    return np.where(there, (values - middle) / np.sqrt(between + noise), 0.0)
