"""Aligns reports on the same users and targets as arrays in one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from recae.errors import ConfigError, DataError, unknown_option, warn
from recae.evaluation.report import Report
from recae.evaluation.same_data import check_same_data
from recae.metrics import FloatArray, uses_weights

Reports = Report | Sequence[Report]
"""A model's report, or its reports under several seeds."""
OF_COUNTS = ("novelty", "popularity", "popularity_lift")
"""Metrics that depend on the numbers of training users of the items."""
KNOWN_OF_ITEMS = {"diversity": "item_vectors", "miscalibration": "item_categories"}
"""Metrics that depend on facts about the items, and the entry of the provenance that identifies
these facts: a source, a comma and a digest."""


def seeds_of(name: str, given: Reports) -> list[Report]:
    """The reports of one model. Raises ConfigError for no report and for anything else."""
    if isinstance(given, Report):
        return [given]
    found = list(given) if isinstance(given, Iterable) else [given]
    strange = [report for report in found if not isinstance(report, Report)]
    if strange or not found:
        what = type(strange[0]).__name__ if strange else "an empty sequence"
        raise ConfigError(f"{name!r} needs a Report, or one for each seed, not {what}")
    return found


def check_reports(reports: object) -> None:
    """Raises ConfigError unless these are named: a mapping from names to reports."""
    if not isinstance(reports, Mapping):
        raise ConfigError(
            "reports must be a dict from names to reports, such as {'ease': report}, not "
            f"{type(reports).__name__}",
            parameter="reports",
            value=reports,
        )


def cut_note(name: str, reports: Reports) -> str:
    """A note on a model whose best trial was cut by the end of the tuning time, else ""."""
    tuning = seeds_of(name, reports)[0].provenance.get("tuning")
    cut = tuning.get("cut") if isinstance(tuning, Mapping) else None
    return f"{name}: the time limit of the tuning cut its best trial ({cut})" if cut else ""


def paired_values(reports: Mapping[str, Reports], metric: str) -> dict[str, FloatArray]:
    """The values of the users with a target: name -> (seeds, users), users in the same order.

    Raises ConfigError for a metric that a report lacks or that has no value per user; DataError if
    the reports have other targets, users, defined values, item vectors or categories.
    """
    seeds = {name: seeds_of(name, given) for name, given in reports.items()}
    labelled = {
        (name, number): repr(name) + (f" (report {number + 1})" if len(theirs) > 1 else "")
        for name, theirs in seeds.items()
        for number in range(len(theirs))
    }
    (first, _), first_label = next(iter(labelled.items()))
    reference = seeds[first][0]
    for (name, number), label in labelled.items():
        _check_metric(seeds[name][number], label, metric)
    check_same_data(
        {label: seeds[name][number].provenance for (name, number), label in labelled.items()},
        weights=uses_weights(metric),
    )
    columns = {
        key: _column(seeds[key[0]][key[1]], label, metric, reference, first_label)
        for key, label in labelled.items()
    }
    defined = ~np.isnan(columns[first, 0])
    for key, column in columns.items():
        unpaired = int((np.isnan(column) == defined).sum())
        if unpaired:
            raise DataError(
                f"{unpaired:,} users have a value of {metric} in only one of {first_label} and "
                f"{labelled[key]}"
            )
    if not defined.any():
        raise DataError(f"no user has a value of {metric}: there is nothing to compare")
    return {
        name: np.stack([columns[name, number][defined] for number in range(len(theirs))])
        for name, theirs in seeds.items()
    }


def _check_metric(report: Report, label: str, metric: object) -> None:
    """Raises ConfigError for an unknown metric, and for one of the catalogue, which has no values
    per user."""
    if not isinstance(metric, str):
        raise ConfigError(
            f'metric must be a name such as "ndcg@100", not {metric!r}',
            parameter="metric",
            value=metric,
        )
    if metric not in report.per_user:
        if metric in report.catalogue:
            raise ConfigError(f"{metric} is one number, not one per user: nothing to pair")
        raise unknown_option(f"metric of report {label}", metric, map(str, report.per_user))


def _warn_of_counts(
    report: Report, label: str, metric: str, reference: Report, first_label: str
) -> None:
    """Warns where a metric of popularity was measured by other numbers of training users."""
    name = metric.partition("@")[0]
    by_counts = name in OF_COUNTS or (
        name == "miscalibration" and "given" not in str(report.provenance.get("item_categories"))
    )
    if not by_counts or "training_users" not in report.items or not len(reference.items):
        return
    ours, theirs = (
        one.items.get("training_users", pd.Series(dtype=np.int64)) for one in (report, reference)
    )
    if len(theirs) and not ours.equals(theirs):
        warn(
            f"{label} and {first_label} were fitted on other interactions, so {metric} is measured "
            "by other numbers of training users: their difference says little about the lists"
        )


def _column(
    report: Report, label: str, metric: str, reference: Report, first_label: str
) -> FloatArray:
    """One report's values, in the order of the users of the first."""
    about = KNOWN_OF_ITEMS.get(metric.partition("@")[0], "")
    ours, theirs = (str(r.provenance.get(about)) for r in (report, reference))
    if ours.rpartition(", ")[2] != theirs.rpartition(", ")[2]:
        raise DataError(
            f"{label} has {metric} by other {about} than {first_label} ({ours} and {theirs}): "
            f"evaluate both with the same {about}="
        )
    _warn_of_counts(report, label, metric, reference, first_label)
    if report.per_user.index.has_duplicates:
        raise DataError(f"{label} lists users twice: a user may have one value only")
    index: pd.Index = reference.per_user.index
    strange = len(report.per_user.index.symmetric_difference(index))
    if strange:
        raise DataError(f"{strange:,} users are in only one of {first_label} and {label}")
    column = report.per_user[metric].reindex(index).to_numpy(dtype=np.float64)
    if np.isinf(column).any():
        raise DataError(f"{label} has {int(np.isinf(column).sum()):,} infinite values of {metric}")
    return column
