"""Whether one report is better than another: paired tests over the same users."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.errors import ConfigError, DataError, unknown_option
from recae.evaluate import Report
from recae.metrics import bootstrap_interval

COLUMNS = ["metric", "a", "b", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm"]


def compare(
    reports: Mapping[str, Report],
    metric: str,
    baseline: str | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Paired differences of one metric between reports on the same users and targets.

    reports: name -> Report; metric: one with a value per user, such as "ndcg@100". A row for each
    pair in the order of the reports, or with `baseline` (a name) for every other report `a` against
    it as `b`. Columns: metric, a, b, mean_a, mean_b, difference (mean of a - b over users), low and
    high (percentile bootstrap of that mean over users, at `level`), p (two-sided Wilcoxon
    signed-rank test, Wilcoxon 1945), p_holm (p adjusted for the number of rows, Holm 1979).

    Users are matched by id; those whose value is NaN in both (no target) do not count. Users
    without a difference are left out of the signed-rank test, as Wilcoxon does, and count in the
    mean and its interval; with no difference at all p is 1. The p is exact for few untied
    differences and normal otherwise, as scipy decides. The same seed gives the same frame.

    Raises ConfigError for fewer than two reports, an unknown baseline or metric, or a metric
    without a value per user; DataError if the reports have other targets, users or defined values.

    >>> import pandas as pd, recae
    >>> users = pd.Index([1, 2, 3])
    >>> a = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.9, 0.4]}, index=users))
    >>> b = recae.Report("b", pd.DataFrame({"ndcg@5": [0.4, 0.7, 0.1]}, index=users))
    >>> row = recae.compare({"a": a, "b": b}, "ndcg@5").iloc[0]
    >>> float(row["difference"].round(3)), float(row["p"])  # 2 of the 2^3 signs are as extreme
    (0.2, 0.25)
    """
    if len(reports) < 2:
        raise ConfigError(f"comparing needs at least two reports, not {len(reports)}")
    if baseline is not None and baseline not in reports:
        raise unknown_option("baseline", baseline, reports)
    values = _paired(reports, metric)
    if baseline is None:
        pairs = list(combinations(reports, 2))
    else:
        pairs = [(name, baseline) for name in reports if name != baseline]
    rows = []
    for a, b in pairs:
        differences = values[a] - values[b]
        low, high = bootstrap_interval(differences, level=level, resamples=resamples, seed=seed)
        means = values[a].mean(), values[b].mean(), differences.mean()
        rows.append([metric, a, b, *means, low, high, _signed_rank(differences)])
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    frame["p_holm"] = _holm(frame["p"].to_numpy())
    return frame


def _paired(reports: Mapping[str, Report], metric: str) -> dict[str, npt.NDArray[np.float64]]:
    """The values of the users with a target, in one order for all reports."""
    first, *_ = reports
    for name, report in reports.items():
        if metric not in report.per_user:
            if metric in report.catalogue:
                raise ConfigError(f"{metric} is one number, not one per user: nothing to pair")
            raise unknown_option(f"metric of report {name!r}", metric, map(str, report.per_user))
        ours, theirs = (r.provenance.get("target") for r in (report, reports[first]))
        if ours != theirs:
            raise DataError(
                f"{name!r} was measured on other targets than {first!r} ({ours} and {theirs}): "
                "evaluate both on the same fold"
            )
        if report.per_user.index.has_duplicates:
            raise DataError(f"{name!r} has users twice: they cannot be paired")
    index = reports[first].per_user.index
    found = {}
    for name, report in reports.items():
        strange = len(report.per_user.index.symmetric_difference(index))
        if strange:
            raise DataError(f"{strange:,} users are in only one of {first!r} and {name!r}")
        found[name] = report.per_user[metric].reindex(index).to_numpy(dtype=np.float64)
    defined = ~np.isnan(found[first])
    for name, column in found.items():
        unpaired = int((np.isnan(column) == defined).sum())
        if unpaired:
            raise DataError(
                f"{unpaired:,} users have a value of {metric} in only one of {first!r} and {name!r}"
            )
    if not defined.any():
        raise DataError(f"no user has a value of {metric}: there is nothing to compare")
    return {name: column[defined] for name, column in found.items()}


def _signed_rank(differences: npt.NDArray[np.float64]) -> float:
    # Here, because importing scipy.stats is slow and changes the warning filters.
    from scipy.stats import wilcoxon

    moved = differences[differences != 0]
    return float(wilcoxon(moved).pvalue) if len(moved) else 1.0


def _holm(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ascending p times m, m - 1, ..., 1, made monotone and at most 1."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
