"""synthetic_report: compares synthetic users with real users and with two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.apply.generate.fitting import active
from recae.apply.generate.measures import (
    Pairs,
    attack,
    by_popularity,
    candidates,
    compare_items,
    compare_lengths,
    copies,
    fit_best,
    item_shares,
    item_weights,
    nearest,
    own_fit,
    resampled,
)
from recae.apply.generate.report import COLUMNS, MEASURES, SyntheticReport
from recae.data import Interactions, as_interactions
from recae.data.splits import StrongGeneralization
from recae.data.splits.folds import Fold
from recae.errors import ConfigError, DataError, check_integer
from recae.models import Popularity
from recae.recommend.base import Recommender
from recae.recommend.requests import check_metric
from recae.rng import Stream, check_seed, numpy_generator
from recae.system.progress import bar, check_progress
from recae.system.threads import survives_fork

CLOSEST = 0.95
"""A user is close to a training user if nearer than this share of the held-out users."""
FEWEST = 20
"""Least number of held-out users."""


@survives_fork
def synthetic_report(
    real: Interactions | Any,
    synthetic: Interactions | Any,
    holdout: Interactions | Fold | Any = None,
    *,
    downstream: Recommender | Sequence[Recommender] | None = None,
    metric: str = "ndcg@100",
    sample: int = 2000,
    seed: int = 0,
    progress: bool | None = None,
) -> SyntheticReport:
    """Measures how realistic, how private and how useful synthetic users are.

    real: the interactions that the generator was fitted on; synthetic: the users it drew; holdout:
    comparable users who were kept from it, with full histories, or a Fold, whose targets are added
    to its histories. Without them the report has no measures of privacy and usefulness. All users
    are matched to the items of `real` by id, and every interaction counts as 1.

    The same is measured of three others: the held-out users, which are what perfect synthetic users
    would look like (except for their number); as many users with items drawn by popularity, whose
    marginals are right and who have no structure; and as many real users drawn with replacement,
    who have all structure and no privacy.

    downstream: unfitted models to fit on each; the best on half of the held-out users is measured
    on the other half; None for EASE with l2 of 300, 1000 and 3000 (PureSVD above 10,000 items).
    metric: a ranking metric per user. sample: the largest number of users for nearest neighbours,
    and of members for the attacks. Memory: the data, blocks of sparse products, and tables of
    3,000 x 3,000 items.

    The membership inference attacks: "nearest", the similarity to the nearest synthetic user;
    "nearest, calibrated", the same minus the similarity to the nearest user of one half of the
    held-out users, who represent the population (after DOMIAS, van Breugel et al., AISTATS 2023);
    "fit, calibrated", with linear downstream models, how well a model fitted on synthetic users
    predicts each item of a history from the others, minus how well one fitted on that half does. A
    blind attack has an expected AUC of 0.5; 0.5 proves nothing about stronger attacks.

    Raises DataError for unusable data and too few users, for synthetic items that are not in the
    real data, and for held-out users whose ids are (rows of a CSR have no ids); ConfigError for bad
    options.

    >>> report = recae.apply.generate.synthetic_report(data, data)  # compared with themselves
    >>> float(report.measures.loc["item_distance", "synthetic"])
    0.0
    """
    check_progress(progress)
    check_metric(metric)
    check_seed(seed)
    sample = check_integer("sample", sample)
    models = [downstream] if isinstance(downstream, Recommender) else downstream
    if models is not None and not (
        isinstance(models, Sequence) and models and all(isinstance(m, Recommender) for m in models)
    ):
        raise ConfigError(
            f"downstream must be one or several unfitted models, not {downstream!r}",
            parameter="downstream",
            value=downstream,
        )
    people = People.of(real, synthetic, holdout, sample, seed)
    fitting = candidates(models, people.real.n_items)
    notes = _Notes()
    pairs = _count(notes, people)
    if people.held_out is not None:
        steps = len(people.contenders) + (len(people.contenders) + 1) * (len(fitting) + 1)
        with bar(steps, "measuring synthetic users", "step", progress) as progress_bar:
            _neighbours(notes, people, progress_bar.update)
            _use_and_attacks(notes, people, fitting, metric, progress_bar.update)
    users = {"real": people.real.matrix} | people.contenders
    shares = {name: item_shares(matrix) for name, matrix in users.items()}
    counts = {name: users[name].shape[0] for name in ("real", "synthetic")}
    counts["held-out"] = 0 if people.held_out is None else people.held_out.shape[0]
    counts["pairs of items"] = pairs
    columns = ["of", "attack", "auc", "low", "high", "members", "others"]
    return SyntheticReport(
        users=counts,
        metric=metric,
        items=pd.DataFrame(shares, index=pd.Index(people.real.items.ids, name="item_id")),
        measures=pd.DataFrame(notes.values, index=list(MEASURES), columns=COLUMNS, dtype=float),
        attacks=pd.DataFrame(notes.attacks, columns=columns),
        nearest=notes.nearest,
        floor=notes.floor,
    )


@dataclass(frozen=True)
class People:
    """The users that a report compares, as CSR of ones over the items of `real`.

    contenders: the measured users by name; held_out: None if there are none; members: a sample of
    the rows of the real data.
    """

    real: Interactions
    contenders: dict[str, Any]
    held_out: Any | None
    members: Any
    sample: int
    seed: int

    @classmethod
    def of(cls, real: Any, synthetic: Any, holdout: Any, sample: int, seed: int) -> People:
        real = active(as_interactions(real).binarised(), "no real user has an item")
        made = _aligned(synthetic, real, "synthetic")
        held_out = None
        if holdout is not None:
            if isinstance(holdout, Fold):  # the histories with the targets
                history, targets = holdout.history, holdout.target.matrix
                both = sp.csr_matrix(history.matrix.maximum(targets))
                holdout = Interactions.from_csr(both, users=history.users, items=history.items)
            held_out = _aligned(holdout, real, "held-out").matrix
            if held_out.shape[0] < FEWEST:
                raise DataError(
                    f"holdout has {held_out.shape[0]} users; at least {FEWEST} are needed"
                )
        n = made.n_users
        contenders = {
            "synthetic": made.matrix,
            "popularity": by_popularity(real.matrix, n, seed),
            "resampled": resampled(real.matrix, n, seed),
        }
        members = some_rows(real.matrix, sample, seed, Stream.REPORT_MEMBERS)
        return cls(real, contenders, held_out, members, sample, seed)


def in_items_of(matrix: Any, real: Interactions) -> Interactions:
    """Rows as users 0, 1, ... over the items of the real data."""
    return Interactions.from_csr(matrix, items=real.items)


def _aligned(given: Any, real: Interactions, what: str) -> Interactions:
    """Users over the items of the real data. The ids of held-out users must not be among the real
    ones; rows of a matrix have no ids."""
    data = as_interactions(given, real.items)
    if what == "held-out" and data.users.kind == real.users.kind and not sp.issparse(given):
        again = real.users.lookup(data.users.ids) >= 0
        if again.any():
            raise DataError(
                f"{int(again.sum()):,} of the {data.n_users:,} held-out users are among the real "
                f"ones by id, the first is {data.users.ids[again.argmax()]!r}: hold users out "
                "before fitting the generator"
            )
    aligned, left_out = data.binarised().with_items(real.items)
    if left_out and what == "synthetic":
        raise DataError(
            f"{left_out:,} of {data.nnz:,} synthetic interactions have items that are not in "
            "the real data: pass the data that the generator was fitted on"
        )
    return active(aligned, f"no {what} user has an item of the real data")


def some_rows(matrix: Any, most: int, seed: int, stream: int) -> Any:
    """A sample of at most `most` rows, without replacement, in their order."""
    if matrix.shape[0] <= most:
        return matrix
    rows = numpy_generator(seed, stream).choice(matrix.shape[0], most, replace=False)
    return matrix[np.sort(rows)]


@dataclass
class _Notes:
    """The measures so far: values by kind of users and measure, rows of attacks, similarities."""

    values: dict[str, dict[str, float]] = field(default_factory=lambda: {c: {} for c in COLUMNS})
    attacks: list[dict[str, Any]] = field(default_factory=list)
    nearest: dict[str, np.ndarray] = field(default_factory=dict)
    floor: float = float("nan")

    def add(self, of: str, values: dict[str, float]) -> None:
        self.values[of].update(values)

    def attack(self, of: str, name: str, members: np.ndarray, others: np.ndarray) -> None:
        self.attacks.append({"of": of, "attack": name, **vars(attack(members, others))})


def _count(notes: _Notes, people: People) -> int:
    """Marginals, lengths, pairs and copies of all users; returns the number of pairs."""
    real = people.real.matrix
    pairs, shares = Pairs(real), item_shares(real)
    compared = dict(people.contenders)
    if people.held_out is not None:
        compared["held-out"] = people.held_out
    notes.add("real", {"mean_length": float(np.diff(real.indptr).mean())})
    for name, matrix in compared.items():
        notes.add(name, compare_items(shares, item_shares(matrix)))
        notes.add(name, compare_lengths(real, matrix))
        notes.add(name, pairs.compare(matrix))
        exact, near = copies(matrix, real)
        notes.add(name, {"exact_copies": exact, "near_copies": near})
    return len(pairs)


def _neighbours(notes: _Notes, people: People, on_step: Any) -> None:
    assert people.held_out is not None
    real = people.real.matrix
    theirs = nearest(people.held_out, real)
    close = float(np.quantile(theirs, CLOSEST))
    notes.nearest["held-out"] = theirs
    for name, matrix in people.contenders.items():
        notes.nearest[name] = nearest(
            some_rows(matrix, people.sample, people.seed, Stream.REPORT_NEAREST), real
        )
        on_step()
    for name, ours in notes.nearest.items():
        found = {
            "nearest_similarity": float(np.median(ours)),
            "nearer": attack(ours, theirs).auc,
            "close": float((ours > close).mean()),
        }
        notes.add(name, found)


def _use_and_attacks(
    notes: _Notes, people: People, fitting: Sequence[Recommender], metric: str, on_step: Any
) -> None:
    """The usefulness of models fitted on each contender, and the attacks on each."""
    assert people.held_out is not None
    real, members = people.real, people.members
    order = numpy_generator(people.seed, Stream.REPORT_HALVES).permutation(people.held_out.shape[0])
    reference, others = (np.sort(half) for half in np.array_split(order, 2))
    known, non_members = people.held_out[reference], people.held_out[others]
    fold_in = StrongGeneralization(fold_in=0.8)
    folds = tuple(
        fold_in.fold(in_items_of(rows, real), people.seed) for rows in (known, non_members)
    )

    notes.floor, _ = fit_best([Popularity()], real, folds, metric)
    in_general = nearest(members, known), nearest(non_members, known)
    usual = item_weights(fitting[0].clone().fit(in_items_of(known, real), progress=False))
    for name, matrix in {"real": real.matrix, **people.contenders}.items():
        data = real if name == "real" else in_items_of(matrix, real)
        value, model = fit_best(fitting, data, folds, metric, on_step)
        notes.add(name, {"use": value})
        if name != "real":  # where the nearest user of a member is the member
            near = nearest(members, matrix), nearest(people.held_out, matrix)
            notes.attack(name, "nearest", *near)
            calibrated = near[0] - in_general[0], near[1][others] - in_general[1]
            notes.attack(name, "nearest, calibrated", *calibrated)
        weights = item_weights(model)
        if weights is not None and usual is not None:
            fits = [
                own_fit(weights, rows) - own_fit(usual, rows) for rows in (members, non_members)
            ]
            notes.attack(name, "fit, calibrated", *fits)
        on_step()
