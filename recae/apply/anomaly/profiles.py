"""Fake and spam profiles, found without labels and explained interaction by interaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.anomaly.co_rating import Company
from recae.apply.anomaly.evidence import company_deviations, deviations, log_deviations
from recae.apply.anomaly.reconstruction import choice_probabilities, rating_predictions, user_means
from recae.apply.anomaly.threshold import bulk_limit, check_rate, conformal_limit
from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, DataError, warn
from recae.ranking.top_k import check_k
from recae.rng import check_seed
from recae.system.progress import check_progress

FEWEST = 20
"""Users with interactions that it takes to know what is usual."""
WEIGHTS = {"choice": 1.0, "rating": 0.3, "company": 0.7}
"""What a spread of each kind counts; chosen on attacks injected into ml-latest-small and jester."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """What `detect_profiles` found.

    users: a frame with a row for each user in the order of the data, columns user_id, score (>= 0,
    higher is more suspicious), rank (1 is the most suspicious), flagged, and the three kinds of
    evidence that the score is the sum of: choice, rating, company. threshold: the score above
    which users are flagged; false_alarm_rate: what it was chosen by.

    >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
    >>> found = recae.apply.anomaly.detect_profiles(ratings)
    >>> found.users.columns.tolist()
    ['user_id', 'score', 'rank', 'flagged', 'choice', 'rating', 'company']
    """

    users: pd.DataFrame
    threshold: float
    false_alarm_rate: float
    data: Interactions = field(repr=False)
    measured: Measured = field(repr=False)

    def flagged(self) -> np.ndarray:
        """The ids of the flagged users, (n,), the most suspicious first.

        >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
        >>> recae.apply.anomaly.detect_profiles(ratings, false_alarm_rate=1e-9).flagged().shape
        (0,)
        """
        ordered = self.users[self.users["flagged"]].sort_values("rank")
        return ordered["user_id"].to_numpy()

    def explain(self, user: Any, k: int | None = 10) -> pd.DataFrame:
        """The k interactions of a user that add most to the score; None for all of them.

        Columns: item_id; rating; contribution, which over all of a user's interactions adds up to
        the score, as choice, rating_error and company do to theirs; probability of the item, given
        the user's others, and usual_probability, given other users'; expected_rating; and
        also_rated, how many others gave the item the same rating. An interaction that speaks for
        the user has a contribution below 0. Raises DataError for a user that was not there,
        ConfigError for k < 1.

        >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
        >>> found = recae.apply.anomaly.detect_profiles(ratings)
        >>> parts = found.explain(7, k=None)["contribution"]
        >>> bool(abs(parts.sum() - found.users["score"][7]) < 1e-9)
        True
        """
        most = None if k is None else check_k(k)
        row = int(self.data.users.encode([user])[0])
        frame = self.measured.explain(self.data, row, self.users.iloc[row])
        return frame.head(len(frame) if most is None else most)

    def clean(self, data: Any = None) -> Interactions:
        """Interactions without the flagged users, by default those that were looked at.

        data: Interactions, a table or a CSR; users are matched by id, and items stay. Warns with
        the counts of what is left out. Raises DataError if nothing is left.

        >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
        >>> recae.apply.anomaly.detect_profiles(ratings, false_alarm_rate=1e-9).clean().n_users
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
    """What the networks said of each interaction, (nnz,) each; None without ratings.

    Users without interactions are left out of company; spreads: how many spreads every user lies
    from the median one, (n_users,) by kind of evidence, 0 for those without interactions.
    """

    own: np.ndarray
    usual: np.ndarray
    predicted: np.ndarray | None
    error: np.ndarray | None
    company: Company
    spreads: dict[str, np.ndarray]

    @property
    def surprise(self) -> np.ndarray:
        """How little an item was to be expected, in nats: by the user's others and in general."""
        surprise: np.ndarray = -(self.own + self.usual) / 2
        return surprise

    def explain(self, data: Interactions, row: int, found: pd.Series[Any]) -> pd.DataFrame:
        at = slice(data.matrix.indptr[row], data.matrix.indptr[row + 1])
        means = user_means(self.surprise, data.matrix.indptr)
        middle = np.median(means[np.diff(data.matrix.indptr) > 0])
        choice = _shared(float(found["choice"]), self.surprise[at] - middle)
        rating, expected = np.zeros(len(choice)), np.full(len(choice), np.nan)
        if self.error is not None and self.predicted is not None:
            rating = _shared(float(found["rating"]), self.error[at])
            expected = self.predicted[at]
        among = int(np.count_nonzero(np.diff(data.matrix.indptr[: row + 1])))  # its row in company
        parts = self.company.parts(among) if len(choice) else np.zeros(0)
        company = _shared(float(found["company"]), parts)
        frame = pd.DataFrame(
            {
                "item_id": data.items.ids[data.matrix.indices[at]],
                "rating": data.matrix.data[at],
                "contribution": choice + rating + company,
                "choice": choice,
                "rating_error": rating,
                "company": company,
                "probability": np.exp(self.own[at]),
                "usual_probability": np.exp(self.usual[at]),
                "expected_rating": expected,
                "also_rated": self.company.also[at],
            }
        )
        ordered = frame.sort_values("contribution", ascending=False, kind="stable")
        return ordered.reset_index(drop=True)


def _shared(total: float, parts: np.ndarray) -> np.ndarray:
    """A total dealt out in proportion to parts, (n,); evenly where they add up to nothing."""
    whole = parts.sum()
    if total == 0 or not len(parts):
        return np.zeros(len(parts))
    return total * parts / whole if whole > 0 else np.full(len(parts), total / len(parts))


def detect_profiles(
    data: Any,
    *,
    ratings: bool | None = None,
    genuine: Any = None,
    false_alarm_rate: float = 0.01,
    seed: int = 0,
    progress: bool | None = None,
) -> Profiles:
    """Who does not behave like a user: fake (shilling) and spam profiles, found without labels.

    A profile is judged by how it is reconstructed from what it does not show. Autoencoders trained
    on other users read three quarters of a profile and say what the last quarter should be:

    - choice: the items are improbable, given the profile's others and given anybody's (the mean of
      both log probabilities of a multinomial denoising autoencoder; fillers drawn by a machine);
    - rating: the ratings are far from those that an autoencoder of deviations from the items' means
      expects (as in AutoRec);
    - company: the same few people gave the same items the same ratings, beyond chance (groups that
      work through a list of targets; see `recae.apply.anomaly.co_rating`).

    Each is measured in spreads z of the users below the median, who are taken to be genuine, and
    score = sum of (w max(z, 0))^2, with w = 1 for choice, 0.3 for rating and 0.7 for company.

    data: Interactions whose weights are ratings, a table, or a CSR, (n_users, n_items). ratings:
    whether weights are ratings; None means that they are where they differ. Without ratings, only
    which items were chosen, and with whom, is seen: attacks that hide behind genuine-looking items
    are not. genuine: ids of users known to be genuine, or None. false_alarm_rate: the share of
    genuine users that may be flagged. With `genuine` it holds exactly for those who are
    exchangeable with them (a conformal test: the scores don't know who is known), of whom it needs
    at least 1 / rate - 1 with interactions. Without, it is an estimate: it assumes that fakes are
    fewer than a quarter of the users and that the scores of the others, to the power of 0.8, fall
    off exponentially above their median. (At 0.01 it flags 0.013 of MovieLens 100K, 0 of Jester,
    but 0.03 to 0.06 of sparse or two-humped clean data.) seed, progress: as in `fit` of a model.

    Raises DataError for fewer than 20 users with interactions, genuine users that are unknown or
    too few, and data that cannot be read; ConfigError for other bad options. Costs the training of
    six small networks, and for each item the square of how many rated it. Memory: the interactions
    and a few numbers for each, and 4 million pairs of users at a time.

    >>> ratings = scipy.sparse.random(40, 30, density=0.3, random_state=0).tocsr().ceil()
    >>> planted = recae.apply.anomaly.inject_profiles(ratings, share=0.1, filler=10, seed=1)
    >>> len(recae.apply.anomaly.detect_profiles(planted.data, false_alarm_rate=0.05).users)
    44
    """
    rate, seed = check_rate(false_alarm_rate), check_seed(seed)
    check_progress(progress)
    if not (ratings is None or isinstance(ratings, bool)):
        raise ConfigError(f"ratings must be True, False or None (look), not {ratings!r}")
    given = as_interactions(data)
    matrix = given.matrix
    active = np.diff(matrix.indptr) > 0
    if active.sum() < FEWEST:
        raise DataError(
            f"{int(active.sum())} users have interactions; to know what is usual it takes at "
            f"least {FEWEST}"
        )
    known = None if genuine is None else np.unique(given.users.encode(genuine))
    if known is not None:
        known = known[active[known]]  # the others are never suspicious, and say nothing
        conformal_limit(np.zeros(len(known)), rate, "genuine users")  # fail before the work
    rated = given.weighted if ratings is None else ratings
    parts = measure(matrix, rated, seed, progress)
    evidence = {name: (WEIGHTS[name] * np.maximum(z, 0)) ** 2 for name, z in parts.spreads.items()}
    score = np.sum(list(evidence.values()), axis=0)
    if known is None:
        limit = bulk_limit(score[active], rate)
    else:
        limit = conformal_limit(score[known], rate, "genuine users")
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(score), dtype=np.int64)
    rank[order] = np.arange(1, len(score) + 1)
    users = pd.DataFrame(
        {"user_id": given.users.ids, "score": score, "rank": rank, "flagged": score > limit}
        | evidence
    )
    return Profiles(users, limit, rate, given, parts)


def measure(matrix: Any, rated: bool, seed: int, progress: bool | None) -> Measured:
    """What the networks and the company say of every interaction and user of a CSR."""
    sizes = np.diff(matrix.indptr)
    active = np.flatnonzero(sizes)
    some = matrix if len(active) == len(sizes) else matrix[active]  # the same entries
    own, usual = choice_probabilities(some, seed, progress)
    predicted, error = rating_predictions(some, seed, progress) if rated else (None, None)
    company = Company(some, rated)
    rating = np.zeros(len(active)) if error is None else log_deviations(error, some.indptr)
    found = {
        "choice": deviations(-(own + usual) / 2, some.indptr),
        "rating": rating,
        "company": company_deviations(company.chances(progress), sizes[active]),
    }
    spreads = {name: np.zeros(len(sizes)) for name in found}
    for name, z in found.items():
        spreads[name][active] = z
    return Measured(own, usual, predicted, error, company, spreads)
