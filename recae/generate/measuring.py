"""Synthetic users held against real ones, and against two kinds of users nobody would want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, DataError
from recae.folds import Fold
from recae.generate.attacks import attack, own_fit
from recae.generate.baselines import by_popularity, resampled
from recae.generate.marginals import Pairs, compare_items, compare_lengths, item_shares
from recae.generate.neighbours import copies, nearest, share_nearer
from recae.generate.report import SyntheticReport
from recae.generate.usefulness import candidates, fit_best, item_weights, popularity_floor
from recae.progress import bar, check_progress
from recae.recommender import Recommender, check_metric
from recae.rng import check_seed, numpy_generator
from recae.splits import StrongGeneralization

CLOSEST = 0.95
"""What is called close to a training user: nearer than 95 in 100 held-out users are."""
FEWEST = 20
"""Held-out users needed."""


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

    Raises DataError for data that are none or hold too few users, or synthetic or held-out users
    that are in the real data by their id; ConfigError for bad options.

    >>> report = recae.synthetic_report(data, data)  # of all people, themselves
    >>> report.measures.loc["item_distance", "synthetic"]
    0.0
    """
    check_progress(progress)
    check_metric(metric)
    check_seed(seed)
    if isinstance(sample, bool) or not isinstance(sample, int | np.integer) or sample < 1:
        raise ConfigError(f"sample must be an integer >= 1, not {sample!r}")
    models = [downstream] if isinstance(downstream, Recommender) else downstream
    if models is not None and not (models and all(isinstance(m, Recommender) for m in models)):
        raise ConfigError(f"downstream must be a model or several, unfitted, not {downstream!r}")
    people = _People.of(real, synthetic, holdout, sample, seed)
    fitting = candidates(models, people.real.n_items)
    report = SyntheticReport(
        users={
            "real": people.real.n_users,
            "synthetic": people.contenders["synthetic"].shape[0],
            "held-out": 0 if people.held_out is None else people.held_out.shape[0],
        },
        metric=metric,
        items=_item_frame(people),
    )
    _count(report, people)
    if people.held_out is not None:
        steps = len(people.contenders) * (len(fitting) + 3) + len(fitting)
        with bar(steps, "measuring synthetic users", "step", progress) as shown:
            _neighbours(report, people, shown.update)
            _use_and_attacks(report, people, fitting, shown.update)
    return report


@dataclass(frozen=True)
class _People:
    """CSR of ones over the items of `real`. contenders: what is measured, by name; held_out: None
    without any; members: some rows of the real data."""

    real: Interactions
    contenders: dict[str, Any]
    held_out: Any | None
    members: Any
    sample: int
    seed: int

    @classmethod
    def of(cls, real: Any, synthetic: Any, holdout: Any, sample: int, seed: int) -> _People:
        real = _active(as_interactions(real).binarised(), "real")
        made = _placed(synthetic, real, "synthetic")
        held_out = None
        if holdout is not None:
            held_out = _placed(_whole(holdout), real, "held-out").matrix
            if held_out.shape[0] < FEWEST:
                raise DataError(
                    f"only {held_out.shape[0]} users are held out: {FEWEST} or more are needed"
                )
        n = made.n_users
        contenders = {
            "synthetic": made.matrix,
            "popularity": by_popularity(real.matrix, n, seed),
            "resampled": resampled(real.matrix, n, seed),
        }
        members = _some(real.matrix, sample, seed, 3)
        return cls(real, contenders, held_out, members, sample, seed)


def _count(report: SyntheticReport, people: _People) -> None:
    """Marginals, lengths and pairs, of the contenders and of the held-out users."""
    real = people.real.matrix
    pairs, shares = Pairs(real), item_shares(real)
    report.users["pairs of items"] = len(pairs)
    compared = dict(people.contenders)
    if people.held_out is not None:
        compared["held-out"] = people.held_out
    report.add("real", {"mean_length": float(np.diff(real.indptr).mean())})
    for name, matrix in compared.items():
        report.add(name, compare_items(shares, item_shares(matrix)))
        report.add(name, compare_lengths(real, matrix))
        report.add(name, pairs.compare(matrix))
        if name != "held-out":
            exact, near = copies(matrix, real)
            report.add(name, {"exact_copies": exact, "near_copies": near})


def _neighbours(report: SyntheticReport, people: _People, on_step: Any) -> None:
    assert people.held_out is not None
    real = people.real.matrix
    theirs = nearest(people.held_out, real)
    exact, near = copies(people.held_out, real)
    close = float(np.quantile(theirs, CLOSEST))
    report.nearest["held-out"] = theirs
    found = {
        "nearest_similarity": float(np.median(theirs)),
        "close": float((theirs > close).mean()),
    }
    report.add("held-out", {**found, "nearer": 0.5, "exact_copies": exact, "near_copies": near})
    for name, matrix in people.contenders.items():
        ours = nearest(_some(matrix, people.sample, people.seed, 4), real)
        report.nearest[name] = ours
        found = {
            "nearest_similarity": float(np.median(ours)),
            "nearer": share_nearer(ours, theirs),
            "close": float((ours > close).mean()),
        }
        report.add(name, found)
        on_step()


def _use_and_attacks(
    report: SyntheticReport, people: _People, fitting: Sequence[Recommender], on_step: Any
) -> None:
    """The value of models fitted on each contender, and three attacks on each."""
    assert people.held_out is not None
    real, members, metric = people.real, people.members, report.metric
    order = numpy_generator(people.seed, 5).permutation(people.held_out.shape[0])
    reference, others = np.array_split(order, 2)
    known, strangers = people.held_out[np.sort(reference)], people.held_out[np.sort(others)]
    folds = _fold(known, real, people.seed), _fold(strangers, real, people.seed)

    def use(matrix: Any) -> tuple[float, Recommender]:
        return fit_best(fitting, matrix, real.items, folds, metric, on_step)

    value, _ = use(real.matrix)
    report.add("real", {"use": value})
    report.add(
        "items by popularity", {"use": popularity_floor(real.matrix, real.items, folds[1], metric)}
    )
    in_general = {name: nearest(rows, known) for name, rows in (("m", members), ("o", strangers))}
    usual = item_weights(fitting[0].clone().fit(_data(known, real), progress=False))
    for name, matrix in people.contenders.items():
        value, model = use(matrix)
        report.add(name, {"use": value})
        near = nearest(members, matrix), nearest(people.held_out, matrix)
        report.attack(name, "nearest", attack(*near))
        far = near[1][np.sort(others)]
        calibrated = near[0] - in_general["m"], far - in_general["o"]
        report.attack(name, "nearest, calibrated", attack(*calibrated))
        on_step()
        weights = item_weights(model)
        if weights is not None and usual is not None:
            fits = [own_fit(weights, rows) - own_fit(usual, rows) for rows in (members, strangers)]
            report.attack(name, "fit, calibrated", attack(*fits))
        on_step()


def _item_frame(people: _People) -> pd.DataFrame:
    shares = {"real": people.real.matrix} | people.contenders
    return pd.DataFrame(
        {name: item_shares(matrix) for name, matrix in shares.items()},
        index=pd.Index(people.real.items.ids, name="item_id"),
    )


def _fold(matrix: Any, real: Interactions, seed: int) -> Fold:
    return StrongGeneralization(fold_in=0.8).fold(_data(matrix, real), seed)


def _data(matrix: Any, real: Interactions) -> Interactions:
    return Interactions.from_csr(matrix, items=real.items)


def _whole(holdout: Any) -> Interactions:
    if not isinstance(holdout, Fold):
        return as_interactions(holdout)
    history, target = holdout.history, holdout.target
    whole = sp.csr_matrix(history.matrix.maximum(target.matrix))
    return Interactions.from_csr(whole, users=history.users, items=history.items)


def _placed(given: Any, real: Interactions, what: str) -> Interactions:
    """Users in the items of the real data; they must be other users."""
    data = as_interactions(given, real.items)
    if what == "held-out" and data.users.kind == real.users.kind:
        again = real.users.lookup(data.users.ids) >= 0
        if again.any():
            raise DataError(
                f"{int(again.sum()):,} of the {data.n_users:,} held-out users are among the real "
                f"ones by their id, the first {data.users.ids[again.argmax()]!r}: hold users out "
                "before the generator is fitted"
            )
    placed, left_out = data.binarised().with_items(real.items)
    if left_out and what == "synthetic":
        raise DataError(
            f"{left_out:,} of {data.nnz:,} synthetic interactions are with items that the real "
            "data do not have: give the data that the generator was fitted on"
        )
    return _active(placed, what)


def _active(data: Interactions, what: str) -> Interactions:
    rows = np.flatnonzero(np.diff(data.matrix.indptr))
    if not len(rows):
        raise DataError(f"no {what} user has an item of the real data")
    return data if len(rows) == data.n_users else data.select_users(rows)


def _some(matrix: Any, most: int, seed: int, stream: int) -> Any:
    if matrix.shape[0] <= most:
        return matrix
    rows = numpy_generator(seed, stream).choice(matrix.shape[0], most, replace=False)
    return matrix[np.sort(rows)]
