"""Selects the charts of a report and their captions; writes single charts as PNG files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from recae.errors import ConfigError, DataError, check_option, explained, unknown_option
from recae.evaluation import Report
from recae.evaluation.comparison.pairing import check_reports
from recae.evaluation.report import check_report
from recae.evaluation.same_data import check_same_data
from recae.metrics import uses_weights
from recae.report.canvas import write
from recae.report.charts import WIDTH, Chart, Row, draw_lines, forest, scatter
from recae.report.entry import Entry, check_entries
from recae.report.lines import (
    Line,
    curve_lines,
    cut_offs,
    history_lines,
    kinds,
    popularity_lines,
    ranges,
    trial_lines,
)
from recae.report.rows import (
    best_first,
    choose_metrics,
    figure,
    less_is_better,
    main_group,
    measured,
)
from recae.system.files import PICTURES, check_target


def report_charts(ordered: Sequence[Entry], metric: str) -> Iterator[Chart]:
    """The charts of a report, without those that have too little to show."""
    less = less_is_better(metric)
    rows = [
        Row(entry.name, found, entry.published.get(metric))
        for entry in ordered
        if (found := measured(entry, metric)) and math.isfinite(found.mean)
    ]
    if rows:
        yield forest(rows, metric, less)
    if len(_timed(ordered, metric)) > 1:
        yield _against_time(ordered, metric)
    yield from _against_coverage(ordered, metric)
    lines, bins = history_lines(ordered, metric)
    if lines and len(bins) > 1:
        yield _by_history(ordered, metric, lines, bins)
    for k in cut_offs(ordered)[:1]:
        lines, groups = popularity_lines(ordered, k)
        if lines and len(groups) > 1:
            yield _by_popularity(ordered, k, lines, groups)
    for number, (name, lines) in enumerate(curve_lines(ordered).items()):
        yield _training(ordered, number, name, lines)
    lines = trial_lines(ordered, metric)
    if lines:
        yield _tuning(ordered, metric, lines)


def _timed(ordered: Sequence[Entry], metric: str) -> list[tuple[str, float, float]]:
    return [
        (entry.name, entry.seconds, entry.value(metric))
        for entry in ordered
        if entry.seconds is not None and math.isfinite(entry.seconds + entry.value(metric))
    ]


def _against_time(ordered: Sequence[Entry], metric: str) -> Chart:
    note = (
        "Median seconds of one fit, without tuning, on a logarithmic axis. The line joins the "
        "models that no faster one beats."
    )
    title, points = f"{metric} against seconds of training", _timed(ordered, metric)
    return scatter("time", title, note, points, ("seconds", metric), less_is_better(metric))


def _against_coverage(ordered: Sequence[Entry], metric: str) -> Iterator[Chart]:
    """A chart for the coverage of the catalogue at each k that two entries have."""
    known = dict.fromkeys(n for e in ordered for n in e.reports[0].mean)
    number = 0
    for name in (n for n in known if n.startswith("coverage@") and n != metric):
        points = [
            (entry.name, found.mean, entry.value(metric))
            for entry in ordered
            if (found := measured(entry, name)) and math.isfinite(found.mean + entry.value(metric))
        ]
        if len(points) > 1:
            k = name.partition("@")[2]
            note = f"Coverage: the share of the catalogue that is in any user's first {k}."
            key, title = f"coverage-{number}", f"{metric} against {name}"
            yield scatter(key, title, note, points, (name, metric), less_is_better(metric))
            number += 1


def _by_history(
    ordered: Sequence[Entry], metric: str, lines: Sequence[Line], bins: pd.DataFrame
) -> Chart:
    """The chart of a metric for groups of users by the length of their history."""
    groups, users = ranges(bins), bins["users"]
    note = (
        f"Mean over the users whose history has so many items, {users.min():,} to "
        f"{users.max():,} users a group, with 95 % intervals{_of_few(ordered, lines)}."
    )
    names = ("items in the history", metric)
    return Chart(
        "history",
        f"{metric} by length of history",
        note,
        lambda: draw_lines(lines, kinds(lines, ordered), names, groups=groups),
        numbers=([names[0], *groups], [("users", *(f"{n:,}" for n in users)), *_rows(lines)]),
    )


def _by_popularity(
    ordered: Sequence[Entry], k: int, lines: Sequence[Line], groups: pd.DataFrame
) -> Chart:
    """The chart of recall for groups of items by the number of their training users."""
    bounds = ranges(groups)
    note = (
        "Share of the held-out interactions found, rare items on the left; every group has "
        f"about as many training interactions{_of_few(ordered, lines)}."
    )
    counts = [
        ("items", *(f"{n:,}" for n in groups["items"])),
        ("held-out interactions", *(f"{n:,}" for n in groups["targets"])),
    ]
    names = ("training users of the item", "recall")
    return Chart(
        "popularity",
        f"Recall at {k} by popularity of the item",
        note,
        lambda: draw_lines(lines, kinds(lines, ordered), names, groups=bounds),
        numbers=(["training users", *bounds], [*counts, *_rows(lines)]),
    )


def _training(ordered: Sequence[Entry], number: int, metric: str, lines: Sequence[Line]) -> Chart:
    return Chart(
        f"curves-{number}",
        f"Training: validation {metric} after each epoch",
        "First seeds, on the validation part: its level is not that of the test.",
        lambda: draw_lines(lines, kinds(lines, ordered), ("epoch", metric), marks=False),
    )


def _tuning(ordered: Sequence[Entry], metric: str, lines: Sequence[Line]) -> Chart:
    """The chart of the settings that were tried, with the best so far. Values far from the best are
    counted at the edge."""
    low, high = bounds = _tuning_bounds(lines, less_is_better(metric))
    values = [value for one in lines for _, value, _ in one.dots]
    note = "A dot for each setting that was tried; the line is the best until then."
    for sign, edge, beyond in (
        ("▼", "lower", sum(value < low for value in values)),
        ("▲", "upper", sum(value > high for value in values)),
    ):
        if beyond:
            note += f" {sign} at the {edge} edge: {beyond} of {len(values)} settings beyond it."
    names, colours = ("seconds of tuning", "value"), kinds(lines, ordered)
    return Chart(
        "tuning",
        "Tuning: best validation value so far",
        note,
        lambda: draw_lines(lines, colours, names, marks=False, bounds=bounds),
    )


def _tuning_bounds(lines: Sequence[Line], less: bool) -> tuple[float, float]:
    """The range of the lines once they are near the best of all, all their ends, and half as much
    again on the worse side."""
    best = [value for one in lines for value in one.y]
    low, high = main_group(best, less=less)
    shown = [value for value in best if low <= value <= high] + [one.y[-1] for one in lines]
    low, high = min(shown), max(shown)
    room = (high - low) / 2 or abs(high) * 0.1 or 1e-3
    return (low, high + room) if less else (low - room, high)


def _rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    return [(one.name, *(figure(y) if math.isfinite(y) else "" for y in one.y)) for one in lines]


def _of_few(ordered: Sequence[Entry], lines: Sequence[Line]) -> str:
    names = {one.name for one in lines}
    several = any(len(entry.reports) > 1 for entry in ordered if entry.name in names)
    left = "; the best and the baselines" if len(names) < len(ordered) else ""
    return ("; first seeds" if several else "") + left


@explained
def comparison(reports: Mapping[str, Report]) -> pd.DataFrame:
    """One row per report (its name as index), one text column per metric: `mean [low, high]`.

    Raises ConfigError without reports, DataError for reports of different data.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.report.comparison({"a": recae.Report("a", values)}).loc["a", "recall@5"]
    '0.6000'
    """
    _require_some(reports)
    return pd.DataFrame({name: _cells(report) for name, report in reports.items()}).T


def _cells(report: Report) -> dict[str, str]:
    frame = report.frame()
    return {
        str(metric): f"{row['mean']:.4f}"
        + ("" if pd.isna(row["low"]) else f" [{row['low']:.4f}, {row['high']:.4f}]")
        for metric, row in frame.iterrows()
    }


def _require_some(reports: Mapping[str, Report]) -> None:
    check_reports(reports)
    for report in reports.values():
        check_report(report)
    weights = any(uses_weights(name) for report in reports.values() for name in report.metrics)
    provenances = {repr(name): report.provenance for name, report in reports.items()}
    check_same_data(provenances, weights=weights)
    if not reports:
        raise ConfigError("there are no reports to show; give at least one, as {name: report}")


def _target(path: str | Path, overwrite: bool) -> Path:
    return check_target(path, overwrite=overwrite, endings=PICTURES)


@explained
def plot_comparison(
    reports: Mapping[str, Report], metric: str, path: str | Path, *, overwrite: bool = False
) -> Path:
    """Draws one metric of every report with its 95 % interval, best on top, and writes a PNG.

    A report that is far behind the others is an arrow at the end of the axis. Needs matplotlib
    (`pip install "recae[plot]"`). Raises ConfigError without it, without reports, or for a metric
    that they do not have; StorageError if the picture cannot be written.
    overwrite: replace a file that is there.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.report.plot_comparison({"a": recae.Report("a", values)}, "recall@5", "a.png").name
    'a.png'
    """
    _require_some(reports)
    target = _target(path, overwrite)
    for report in reports.values():
        check_option("metric of these reports", metric, report.metrics)
    ordered = best_first([Entry(name, [report]) for name, report in reports.items()], metric)
    rows = [Row(e.name, found) for e in ordered if (found := measured(e, metric))]
    return write(
        forest(rows, metric, less_is_better(metric), WIDTH).draw(), target, overwrite=overwrite
    )


@explained
def plot_accuracy_against_time(
    entries: Iterable[Entry], metric: str, path: str | Path, *, overwrite: bool = False
) -> Path:
    """Draws a metric of every entry against its median seconds of a fit, and writes a PNG.

    The axis of seconds is logarithmic; entries of unknown seconds are left out, and no label covers
    another. Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, for an
    unknown metric, and if no entry has seconds; DataError for entries of different data;
    StorageError if the picture cannot be written.
    overwrite: replace a file that is there.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> entry = recae.report.Entry("ease", [recae.Report("EASE()", values)], fit_seconds=[12.5])
    >>> recae.report.plot_accuracy_against_time([entry], "recall@5", "time.png").name
    'time.png'
    """
    entries, target = check_entries(entries), _target(path, overwrite)
    choose_metrics(entries, [metric], metric)
    ordered = best_first(entries, metric)
    if not _timed(ordered, metric):
        raise ConfigError(f"no entry has both fit_seconds and a value of {metric}")
    return write(_against_time(ordered, metric).draw(), target, overwrite=overwrite)


@explained
def plot_by_history(
    entries: Iterable[Entry], metric: str, path: str | Path, *, overwrite: bool = False
) -> Path:
    """Draws a metric by the length of the users' histories, a line each, and writes a PNG.

    First seeds, with 95 % intervals; of many entries the best and the baselines. Needs matplotlib
    (`pip install "recae[plot]"`). Raises ConfigError without it and for an unknown metric. Raises
    DataError for entries of different data, and if the lengths of the histories are unknown. Raises
    StorageError if the picture cannot be written.
    overwrite: replace a file that is there.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> users = pd.DataFrame({"history": [3, 9], "targets": [1, 1]}, index=[1, 2])
    >>> entry = recae.report.Entry("ease", [recae.Report("EASE()", values, users=users)])
    >>> recae.report.plot_by_history([entry], "recall@5", "history.png").name
    'history.png'
    """
    entries, target = check_entries(entries), _target(path, overwrite)
    choose_metrics(entries, [metric], metric)
    if not any(metric in entry.reports[0].per_user for entry in entries):
        raise ConfigError(f"{metric} is one number, not one per user: it has no breakdown")
    ordered = best_first(entries, metric)
    lines, bins = history_lines(ordered, metric)
    if not lines:
        raise DataError(
            f"no entry has values of {metric} and history lengths: evaluate the models again"
        )
    return write(_by_history(ordered, metric, lines, bins).draw(), target, overwrite=overwrite)


@explained
def plot_curves(
    entries: Iterable[Entry],
    path: str | Path,
    *,
    metric: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws a validation metric after each epoch, a line for each entry, and writes a PNG.

    metric: one of the epochs' (the first by default). At most eight lines, of the first seeds.
    Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, for an unknown
    metric, and if no entry has epochs with validation metrics; DataError for entries of different
    data; StorageError if the picture cannot be written.
    overwrite: replace a file that is there.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> epochs = [{"number": n, "metrics": {"recall@5": 0.1 * n}} for n in (1, 2, 3)]
    >>> entry = recae.report.Entry("mult-vae", [recae.Report("MultVAE()", values)], epochs=epochs)
    >>> recae.report.plot_curves([entry], "curves.png").name
    'curves.png'
    """
    entries, target = check_entries(entries), _target(path, overwrite)
    ordered = best_first(entries, choose_metrics(entries, None, None)[0])
    curves = curve_lines(ordered)
    if not curves:
        raise ConfigError("no entry has epochs with a validation metric: there is nothing to draw")
    if metric is not None and metric not in curves:
        raise unknown_option("metric of these epochs", metric, curves)
    metric, lines = next((m, found) for m, found in curves.items() if metric in (None, m))
    return write(_training(ordered, 0, metric, lines).draw(), target, overwrite=overwrite)
