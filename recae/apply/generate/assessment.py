"""synthetic_report: compares synthetic users with real users and with two baselines."""

from __future__ import annotations

from collections.abc import Sequence
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
from recae.errors import ConfigError, DataError, check_integer, explained
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


@explained
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

    real: the interactions that the generator was fitted on. synthetic: the users it drew. holdout:
    comparable users who were kept from it, with full histories, or a Fold, whose targets are added
    to its histories. Without them the report has no measures of privacy and usefulness. All users
    are matched to the items of `real` by id, and every interaction counts as 1.

    The same is measured for three other groups. The held-out users are what perfect synthetic users
    would look like (except for their number). Users with items drawn by popularity have the right
    marginals and no structure. Real users drawn with replacement have all structure and no privacy.

    downstream: unfitted models to fit on each. The best on half of the held-out users is measured
    on the other half. None means EASE with l2 of 300, 1000 and 3000 (PureSVD above 10,000 items).
    metric: a ranking metric per user. sample: the largest number of users for nearest neighbours,
    and of members for the attacks. Memory: the data, blocks of sparse products, and tables of 3,000
    x 3,000 items.

    There are three membership inference attacks. "nearest" is the similarity to the nearest
    synthetic user. "nearest, calibrated" subtracts the similarity to the nearest user of one half
    of the held-out users, who represent the population (after DOMIAS, van Breugel et al., AISTATS
    2023). "fit, calibrated" needs linear downstream models. It is how well a model fitted on
    synthetic users predicts each item of a history from the others, minus the same for a model
    fitted on that half. A blind attack has an expected AUC of 0.5; 0.5 proves nothing about
    stronger attacks.

    Raises DataError for unusable data and too few users, and for synthetic items that are not in
    the real data. It also rejects held-out users whose ids are in the real data (rows of a CSR have
    no ids). Raises ConfigError for bad options.

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
    found = _Assessment(real, synthetic, holdout, sample, seed)
    fitting = candidates(models, found.real.n_items)
    pairs = found.count()
    if found.held_out is not None:
        steps = len(found.contenders) + (len(found.contenders) + 1) * (len(fitting) + 1)
        with bar(steps, "measuring synthetic users", "step", progress) as progress_bar:
            found.compare_neighbours(progress_bar.update)
            found.use_and_attack(fitting, metric, progress_bar.update)
    users = {"real": found.real.matrix} | found.contenders
    shares = {name: item_shares(matrix) for name, matrix in users.items()}
    counts = {name: users[name].shape[0] for name in ("real", "synthetic")}
    counts["held-out"] = 0 if found.held_out is None else found.held_out.shape[0]
    columns = ["of", "attack", "auc", "low", "high", "members", "others"]
    return SyntheticReport(
        users=counts | {"pairs of items": pairs},
        metric=metric,
        items=pd.DataFrame(shares, index=pd.Index(found.real.items.ids, name="item_id")),
        measures=pd.DataFrame(found.values, index=list(MEASURES), columns=COLUMNS, dtype=float),
        attacks=pd.DataFrame(found.attacks, columns=columns),
        nearest=found.nearest,
        floor=found.floor,
    )


class _Assessment:
    """The users that a report compares, as CSR of ones over the items of `real`, and its measures.

    contenders: the measured users by name; held_out: None if there are none; members: a sample of
    the rows of the real data. values: by kind of users and measure; attacks: rows of the report;
    nearest: similarities by kind of users.
    """

    def __init__(self, real: Any, synthetic: Any, holdout: Any, sample: int, seed: int) -> None:
        self.real = active(as_interactions(real).binarised(), "no real user has an item")
        made, real = _aligned(synthetic, self.real, "synthetic"), self.real.matrix
        self.held_out: Any = None
        if holdout is not None:
            if isinstance(holdout, Fold):  # the histories with the targets
                history, targets = holdout.history, holdout.target.matrix
                both = sp.csr_matrix(history.matrix.maximum(targets))
                holdout = Interactions.from_csr(both, users=history.users, items=history.items)
            self.held_out = _aligned(holdout, self.real, "held-out").matrix
            n = self.held_out.shape[0]
            if n < FEWEST:
                raise DataError(f"holdout has {n} users; at least {FEWEST} are needed")
        self.contenders = {
            "synthetic": made.matrix,
            "popularity": by_popularity(real, made.n_users, seed),
            "resampled": resampled(real, made.n_users, seed),
        }
        self.members = some_rows(real, sample, seed, Stream.REPORT_MEMBERS)
        self.sample, self.seed = sample, seed
        self.values: dict[str, dict[str, float]] = {kind: {} for kind in COLUMNS}
        self.attacks: list[dict[str, Any]] = []
        self.nearest: dict[str, np.ndarray] = {}
        self.floor = float("nan")

    def count(self) -> int:
        """Marginals, lengths, pairs and copies of all users; returns the number of pairs."""
        real = self.real.matrix
        pairs, shares = Pairs(real), item_shares(real)
        held_out = {} if self.held_out is None else {"held-out": self.held_out}
        self.values["real"]["mean_length"] = float(np.diff(real.indptr).mean())
        for name, matrix in (self.contenders | held_out).items():
            exact, near = copies(matrix, real)
            self.values[name] |= compare_items(shares, item_shares(matrix))
            self.values[name] |= compare_lengths(real, matrix) | pairs.compare(matrix)
            self.values[name] |= {"exact_copies": exact, "near_copies": near}
        return len(pairs)

    def compare_neighbours(self, on_step: Any) -> None:
        """The similarities of users to the nearest training user."""
        real = self.real.matrix
        theirs = nearest(self.held_out, real)
        close = float(np.quantile(theirs, CLOSEST))
        self.nearest["held-out"] = theirs
        for name, matrix in self.contenders.items():
            some = some_rows(matrix, self.sample, self.seed, Stream.REPORT_NEAREST)
            self.nearest[name] = nearest(some, real)
            on_step()
        for name, ours in self.nearest.items():
            self.values[name] |= {
                "nearest_similarity": float(np.median(ours)),
                "nearer": attack(ours, theirs).auc,
                "close": float((ours > close).mean()),
            }

    def use_and_attack(self, fitting: Sequence[Recommender], metric: str, on_step: Any) -> None:
        """The usefulness of models fitted on each contender, and the attacks on each."""
        members, held_out = self.members, self.held_out
        order = numpy_generator(self.seed, Stream.REPORT_HALVES).permutation(held_out.shape[0])
        reference, others = (np.sort(half) for half in np.array_split(order, 2))
        known, non_members = held_out[reference], held_out[others]
        fold_in = StrongGeneralization(fold_in=0.8)
        folds = [fold_in.fold(self._data(rows), self.seed) for rows in (known, non_members)]

        self.floor, _ = fit_best([Popularity()], self.real, folds, metric)
        in_general = nearest(members, known), nearest(non_members, known)
        usual = item_weights(fitting[0].clone().fit(self._data(known), progress=False))
        for name, matrix in {"real": self.real.matrix, **self.contenders}.items():
            data = self.real if name == "real" else self._data(matrix)
            self.values[name]["use"], model = fit_best(fitting, data, folds, metric, on_step)
            if name != "real":  # where the nearest user of a member is the member
                near = nearest(members, matrix), nearest(held_out, matrix)
                self._attack(name, "nearest", *near)
                calibrated = near[0] - in_general[0], near[1][others] - in_general[1]
                self._attack(name, "nearest, calibrated", *calibrated)
            weights = item_weights(model)
            if weights is not None and usual is not None:
                both = members, non_members
                fits = [own_fit(weights, rows) - own_fit(usual, rows) for rows in both]
                self._attack(name, "fit, calibrated", *fits)
            on_step()

    def _data(self, matrix: Any) -> Interactions:
        """Rows as users 0, 1, ... over the items of the real data."""
        return Interactions.from_csr(matrix, items=self.real.items)

    def _attack(self, of: str, name: str, members: np.ndarray, others: np.ndarray) -> None:
        self.attacks.append({"of": of, "attack": name, **vars(attack(members, others))})


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
