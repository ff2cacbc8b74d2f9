"""Synthetic users held against real ones, and against two kinds of users nobody would want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.generate.marginals import Pairs, compare_items, compare_lengths, item_shares
from recae.apply.generate.people import People, in_items_of, some_rows
from recae.apply.generate.privacy import attack, copies, nearest, own_fit
from recae.apply.generate.report import COLUMNS, MEASURES, SyntheticReport
from recae.apply.generate.usefulness import candidates, fit_best, item_weights, popularity_floor
from recae.data import Interactions
from recae.data.splits import StrongGeneralization
from recae.data.splits.folds import Fold
from recae.errors import ConfigError
from recae.recommend.base import Recommender
from recae.recommend.measure import check_metric
from recae.rng import Stream, check_seed, numpy_generator
from recae.system.forks import survives_fork
from recae.system.progress import bar, check_progress

CLOSEST = 0.95
"""What is called close to a training user: nearer than 95 in 100 held-out users are."""


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
    """How real synthetic users look, what they give away, and what a model fitted on them is worth.

    real: the interactions that the generator learnt from; synthetic: what it drew; holdout: users
    of the same kind who were kept from it, histories whole, or a Fold, whose targets are added to
    its histories. Without them nothing can be said of privacy nor of use, and the report has only
    the counts. All are matched to the items of `real` by id, and count every interaction as 1.

    The same is measured of three others: the held-out users, which is what perfect synthetic users
    would look like (but for their number); as many users with items by popularity, whose marginals
    are right and who have no structure; and as many real users drawn with replacement, who have all
    structure and no privacy.

    downstream: the models to fit on each, unfitted, the best of them chosen on half of the held-out
    users and measured on the others; None for EASE with l2 of 300, 1000 and 3000 (PureSVD above
    10,000 items). metric: of hits, per user. sample: users looked at for neighbours, and members
    that the attacks are tried on, at most. Memory is the data, blocks of sparse products, and
    tables of 3,000 x 3,000 items.

    The attacks: "nearest", a member has a more similar synthetic user; "nearest, calibrated", the
    same less the similarity to the nearest of one half of the held-out users, who stand for people
    in general (after DOMIAS, van Breugel et al., AISTATS 2023); "fit, calibrated", with linear
    downstream models, how well one fitted on synthetic users foretells each item of a history from
    the others, less how well one fitted on that half does. A blind attack is expected to give 0.5;
    one that gives 0.5 proves nothing about better ones.

    Raises DataError for data that are none or hold too few users, for synthetic items that are not
    in the real data, and for held-out users who are, by their id (rows of a bare CSR have none);
    ConfigError for bad options.

    >>> report = recae.apply.generate.synthetic_report(data, data)  # of all people, themselves
    >>> float(report.measures.loc["item_distance", "synthetic"])
    0.0
    """
    check_progress(progress)
    check_metric(metric)
    check_seed(seed)
    if isinstance(sample, bool) or not isinstance(sample, int | np.integer) or sample < 1:
        raise ConfigError(f"sample must be an integer >= 1, not {sample!r}")
    models = [downstream] if isinstance(downstream, Recommender) else downstream
    if models is not None and not (
        isinstance(models, Sequence) and models and all(isinstance(m, Recommender) for m in models)
    ):
        raise ConfigError(f"downstream must be a model or several, unfitted, not {downstream!r}")
    people = People.of(real, synthetic, holdout, sample, seed)
    fitting = candidates(models, people.real.n_items)
    notes = _Notes()
    pairs = _count(notes, people)
    if people.held_out is not None:
        steps = len(people.contenders) + (len(people.contenders) + 1) * (len(fitting) + 1)
        with bar(steps, "measuring synthetic users", "step", progress) as shown:
            _neighbours(notes, people, shown.update)
            _use_and_attacks(notes, people, fitting, metric, shown.update)
    columns = ["of", "attack", "auc", "low", "high", "members", "others"]
    return SyntheticReport(
        users=people.counts() | {"pairs of items": pairs},
        metric=metric,
        items=_item_frame(people),
        measures=pd.DataFrame(notes.values, index=list(MEASURES), columns=COLUMNS, dtype=float),
        attacks=pd.DataFrame(notes.attacks, columns=columns),
        nearest=notes.nearest,
        floor=notes.floor,
    )


@dataclass
class _Notes:
    """What was measured so far: values by kind of users and measure, rows of attacks, ..."""

    values: dict[str, dict[str, float]] = field(default_factory=lambda: {c: {} for c in COLUMNS})
    attacks: list[dict[str, Any]] = field(default_factory=list)
    nearest: dict[str, np.ndarray] = field(default_factory=dict)
    floor: float = float("nan")

    def add(self, of: str, values: dict[str, float]) -> None:
        self.values[of].update(values)

    def attack(self, of: str, name: str, members: np.ndarray, others: np.ndarray) -> None:
        self.attacks.append({"of": of, "attack": name, **vars(attack(members, others))})


def _count(notes: _Notes, people: People) -> int:
    """Marginals, lengths, pairs and copies, of everybody; returns the number of pairs."""
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
    """The worth of models fitted on each contender, and the attacks on each."""
    assert people.held_out is not None
    real, members = people.real, people.members
    order = numpy_generator(people.seed, Stream.REPORT_HALVES).permutation(people.held_out.shape[0])
    reference, others = (np.sort(half) for half in np.array_split(order, 2))
    known, strangers = people.held_out[reference], people.held_out[others]
    fold_in = StrongGeneralization(fold_in=0.8)
    folds = tuple(fold_in.fold(in_items_of(rows, real), people.seed) for rows in (known, strangers))

    notes.floor = popularity_floor(real.matrix, real.items, folds[1], metric)
    in_general = nearest(members, known), nearest(strangers, known)
    usual = item_weights(fitting[0].clone().fit(in_items_of(known, real), progress=False))
    for name, matrix in {"real": real.matrix, **people.contenders}.items():
        value, model = fit_best(fitting, matrix, real.items, folds, metric, on_step)
        notes.add(name, {"use": value})
        if name != "real":  # in which a member's nearest is the member
            near = nearest(members, matrix), nearest(people.held_out, matrix)
            notes.attack(name, "nearest", *near)
            calibrated = near[0] - in_general[0], near[1][others] - in_general[1]
            notes.attack(name, "nearest, calibrated", *calibrated)
        weights = item_weights(model)
        if weights is not None and usual is not None:
            fits = [own_fit(weights, rows) - own_fit(usual, rows) for rows in (members, strangers)]
            notes.attack(name, "fit, calibrated", *fits)
        on_step()


def _item_frame(people: People) -> pd.DataFrame:
    shares = {"real": people.real.matrix} | people.contenders
    return pd.DataFrame(
        {name: item_shares(matrix) for name, matrix in shares.items()},
        index=pd.Index(people.real.items.ids, name="item_id"),
    )
