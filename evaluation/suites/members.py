"""What each member adds to an ensemble, and what other weights than one for each member give.

    python -m evaluation members ml1m_infae DATA

The members have the settings that the suite chose, read from its kept results, and are fitted on
train. Their weights are learnt on half of the validation users and measured on the other half, and
the other way round, for three draws of the halves. So a member that only adds noise costs
something, and no test is looked at. Fitted models are kept in the folder `--work`; models that are
there are not fitted again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recae
from evaluation.kit.provenance import RESULTS, keep
from evaluation.suites.data import read_split
from evaluation.suites.kept import load_entries
from evaluation.suites.read import read_suite
from recae.metrics import Metric, parse_metric
from recae.models._blend import Candidates, fit_weights
from recae.models.ensemble import read_model

MEMBERS = "rec-vae;mult-vae;elsa;cosine-ae;slim;als;ease;rdlae;graph-filter;svd-ae"
OTHERS = "edlae-full;infinite-ae;user-knn;item-knn;rp3-beta;mult-dae"
DRAWS, GROUPS = 3, 3


@dataclass(frozen=True)
class Blends:
    """Blends of some of the models, measured on users that their weights were not learnt on.

    lengths: items in the history of each user of the candidates.
    """

    names: Sequence[str]
    candidates: Candidates
    lengths: np.ndarray
    metric: Metric

    def of(self, names: Sequence[str]) -> Candidates:
        """The candidates with the scores of some models."""
        found = self.candidates
        places = [self.names.index(name) for name in names]
        return Candidates(found.items, found.scores[places], found.target)

    def alone(self, name: str) -> float:
        """The metric of one model."""
        return float(self.of([name]).value(np.ones(1), self.metric))

    def crossed(self, names: Sequence[str], weigh: Callable[..., np.ndarray]) -> np.ndarray:
        """Each user's metric, the mean over the draws. weigh: (candidates, learnt on, measured
        on) -> the metric of the users that are measured."""
        some, total = self.of(names), np.zeros(len(self.candidates))
        for seed in range(DRAWS):
            order = np.random.default_rng(seed).permutation(len(total))
            first, second = (np.sort(half) for half in np.array_split(order, 2))
            for learnt, measured in ((first, second), (second, first)):
                total[measured] += weigh(some, learnt, measured)
        return total / DRAWS

    def one_each(self, some: Candidates, learnt: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """One weight for each model."""
        weights = fit_weights(some.part(torch.from_numpy(learnt)), self.metric)
        return some.part(torch.from_numpy(measured)).per_user(weights, self.metric)

    def equal(self, some: Candidates, learnt: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """The same weight for all."""
        ones = np.ones(len(some.scores))
        return some.part(torch.from_numpy(measured)).per_user(ones, self.metric)

    def by_length(self, some: Candidates, learnt: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Weights of their own for short, middle and long histories."""
        bounds = np.quantile(self.lengths, np.linspace(0, 1, GROUPS + 1)[1:-1])
        group, found = np.digitize(self.lengths, bounds), np.zeros(len(measured))
        for number in range(GROUPS):
            here = group[measured] == number
            own = learnt[group[learnt] == number]
            found[here] = self.one_each(some, own, measured[here])
        return found


def fitted(names: Sequence[str], suite: str, split: Any, work: Path) -> list[recae.Recommender]:
    """The models with the settings of the kept results, fitted on train or loaded."""
    kept = {entry.name: entry for entry in load_entries(RESULTS / suite)}
    work.mkdir(parents=True, exist_ok=True)
    models = []
    for name in names:
        folder = work / name
        if not folder.is_dir():
            model = read_model(kept[name].reports[0].model)
            fold = {"validation": split.validation} if model.uses_validation else {}
            model.fit(split.train.binarised(), **fold).save(folder)
        models.append(recae.load(folder))
    return models


def rows_of(blends: Blends, members: Sequence[str], others: Sequence[str]) -> list[dict[str, Any]]:
    """A row for the ensemble, each member, each other model and each way to weigh. Prints each."""
    base = blends.crossed(members, blends.one_each)
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, gains: np.ndarray) -> None:
        error = float(gains.std() / np.sqrt(len(gains)))
        rows.append({"name": name, "value": value, "gain": float(gains.mean()), "error": error})
        print(f"{name:<32} {value:.4f}  {gains.mean():+.4f} ({error:.4f})", flush=True)

    print(f"{'':<32} {blends.metric}  gain (standard error)")
    best = max(members, key=blends.alone)
    row("the ensemble", base.mean(), base - blends.crossed([best], blends.equal))
    for name in members:
        without = [other for other in members if other != name]
        row(name, blends.alone(name), base - blends.crossed(without, blends.one_each))
    for name in others:
        more = blends.crossed([*members, name], blends.one_each)
        row(f"{name}, added", blends.alone(name), more - base)
    for name, weigh in (("equal weights", blends.equal), ("by length", blends.by_length)):
        found = blends.crossed(members, weigh)
        row(name, found.mean(), found - base)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each model and writes members-SUITE.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", help="a suite with a validation table and kept results")
    parser.add_argument("data", type=Path, help="folder with the tables of the suite")
    parser.add_argument("--members", default=MEMBERS, help="names of rows, by semicolons")
    parser.add_argument("--others", default=OTHERS, help="models that are added one at a time")
    parser.add_argument("--users", type=int, default=4000, help="validation users, at most")
    parser.add_argument("--work", type=Path, default=Path("build/members"))
    options = parser.parse_args(argv)
    suite = read_suite(options.suite)
    split = read_split(suite, options.data, progress=False)
    members = options.members.split(";")
    others = options.others.split(";") if options.others else []
    names = [*members, *others]
    models = fitted(names, options.suite, split, options.work / options.suite)
    fold = sample(split.validation, options.users)
    candidates = recae.Ensemble.of(models, metric=suite.metric)._candidates(fold, 0)
    lengths = np.diff(fold.history.matrix.indptr)
    if len(candidates) < len(lengths):
        raise recae.ConfigError(
            f"the scores of {len(candidates):,} users fit in memory; lower --users to that",
            parameter="users",
            value=options.users,
        )
    print(f"{len(candidates):,} validation users; a gain is that of the ensemble with the model")
    blends = Blends(names, candidates, lengths, parse_metric(suite.metric))
    rows = rows_of(blends, members, others)
    keep(f"members-{options.suite}", {"users": len(candidates), "draws": DRAWS, "rows": rows})
    return 0


def sample(fold: recae.Fold, most: int) -> recae.Fold:
    """The fold, or as many of its users with a target."""
    asked = np.flatnonzero(np.diff(fold.target.matrix.indptr))
    if len(asked) > most:
        asked = np.sort(np.random.default_rng(0).choice(asked, most, replace=False))
    return recae.Fold(fold.history.select_users(asked), fold.target.select_users(asked))


if __name__ == "__main__":
    raise SystemExit(main())
