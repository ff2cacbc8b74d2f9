"""Compares reports pair by pair: differences, intervals, tests, and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from recae.errors import ConfigError, check_integer, check_number, check_option, explained
from recae.evaluation.comparison.pairing import (
    Reports,
    check_reports,
    cut_note,
    paired_values,
)
from recae.evaluation.comparison.significance import (
    POWER,
    Spread,
    detectable,
    holm,
    intervals,
    mean_test,
    signed_rank,
)
from recae.metrics import less_is_better
from recae.rng import check_seed
from recae.system.display import html_table


class Comparison(pd.DataFrame):
    """The frame of `recae.compare`; printed, it shows all columns with four digits.

    Operations on it give a plain DataFrame.

    >>> Comparison({"difference": [0.123456], "p": [1e-9], "better": ["a"]})
     difference     p better
         0.1235 1e-09      a
    """

    def __repr__(self) -> str:
        """All rows and columns, without the numbers of the rows; each note has a line below."""
        shown = pd.DataFrame(self).drop(columns="note", errors="ignore")
        notes = dict.fromkeys(self["note"]) if "note" in self else {}
        table = shown.to_string(float_format="%.4g", index=False)
        return "\n".join([table, *(f"note: {note}" for note in notes if note)])

    def _repr_html_(self) -> str:
        """The same as a table of HTML; the notes are in its heading."""
        shown = pd.DataFrame(self).drop(columns="note", errors="ignore")
        notes = dict.fromkeys(self["note"]) if "note" in self else {}
        heading = "; ".join(["Comparison", *(note for note in notes if note)])
        rows = shown.astype(object).itertuples(index=False, name=None)
        return html_table(heading, [str(name) for name in shown.columns], rows, digits=".4g")


COLUMNS = ["metric", "a", "b", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm"]
COLUMNS += ["p_mean_holm", "detectable", "better", "note"]


@explained
def compare(
    reports: Mapping[str, Reports],
    metric: str,
    baseline: str | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Paired differences of one metric between reports on the same users and targets.

    reports: name -> Report, or the Reports of one model under several seeds; metric: one with a
    value per user, such as "ndcg@100". A row for each pair in the order of the reports, or with
    `baseline` (a name) for every other report `a` against it as `b`. Columns:

        metric, a, b, mean_a, mean_b
        difference   mean of a - b over the users
        low, high    bootstrap interval of that mean, at `level`
        p, p_holm    two-sided Wilcoxon signed-rank test (Wilcoxon 1945); p adjusted for the number
                     of rows (Holm 1979)
        p_mean_holm  two-sided paired t test of the mean, adjusted likewise
        detectable   the difference that such a test by itself, without the adjustment for the other
                     rows, would miss one time in five, see `detectable_difference`
        better       the one with the higher mean if p_holm and p_mean_holm are below 1 - level and
                     the interval leaves out 0, else ""; of gini, popularity, popularity_lift and
                     miscalibration the one with the lower mean
        note         names a model whose best trial was cut by the end of the tuning time, else ""

    Printed, it shows all columns with four digits; `verdicts` puts the rows into sentences.

    Users are matched by id; those whose value is NaN in all (no target) do not count. Users
    without a difference are left out of the signed-rank test, as Wilcoxon does, and count in the
    mean and its interval; with no difference at all p is 1. Differences that are equal up to
    rounding are ties. The p is exact for few untied differences and normal otherwise, as scipy
    decides.

    Two tests, because the signed-rank test asks whether the differences are symmetric about 0, not
    whether their mean is 0. Differences of real models are not symmetric: many small losses and few
    large gains can have a mean of 0 and a tiny p. The t test asks about the mean, but a few users
    can decide it. `better` needs both, and keeps the stated rate of false alarms over all rows
    together; the interval holds for a row by itself. At 1,000 users that was found to hold (the
    interval of lognormal differences leaves out a true 0 in 6 of 100 cases, not 5). At 30 the
    interval does so in 7 or 8 (`better` stays at 5 or below), and strongly skewed differences, such
    as lognormal ones, are called better in 11 (`python -m evaluation significance`).

    One report each: the percentile bootstrap over users. Every resample draws the users with
    replacement, the same ones for all rows.

    Several seeds: a user's value is the average over the seeds of a model; mean, difference and p
    are of these averages, and p is about these fitted models, not about other seeds. The interval
    and p_mean_holm are about other seeds too: every resample draws the users and, independently, S
    - 1 of the S seeds of each model that has several, with replacement, the same ones for all users
    (a two-level bootstrap; S - 1 makes the variance of their mean unbiased, Rao & Wu 1988). The
    percentile interval is then stretched about the difference by t / z, the quantiles of Student's
    t and the normal distribution: few seeds give a poor estimate of their variance. The degrees of
    freedom are Satterthwaite's (1946) for var(differences) / n + var(seed means of a) / S_a + the
    same of b, the variance that p_mean_holm and `detectable` use. The interval errs to the wide
    side: luck that differs by user and seed counts up to three times (Owen 2007). A model with one
    report is treated as if it had no variance over seeds, which holds for closed forms only.

    About 1.6 ns for a user and resample, and 0.8 ns more for every report. The same seed gives the
    same frame. Raises ConfigError for fewer than two reports, an unknown baseline or metric, a
    metric without a value per user or a bad level, resamples or seed. Raises DataError if the
    reports have other targets, masks, histories, users or defined values, infinite ones, or the
    diversity by other item vectors (miscalibration: categories). Other weights of the same pairs
    are allowed, unless the metric uses the weights of the targets. Warns where novelty or
    popularity was measured by other numbers of training users.

    >>> users = pd.Index([1, 2, 3])
    >>> a = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.9, 0.4]}, index=users))
    >>> b = recae.Report("b", pd.DataFrame({"ndcg@5": [0.4, 0.7, 0.1]}, index=users))
    >>> row = recae.compare({"a": a, "b": b}, "ndcg@5").iloc[0]
    >>> float(row["difference"].round(3)), float(row["p"])  # 2 of the 2^3 signs are as extreme
    (0.2, 0.25)
    >>> row["better"]  # three users cannot show it
    ''
    """
    check_reports(reports)
    if len(reports) < 2:
        raise ConfigError(f"compare needs at least two reports, not {len(reports)}")
    if baseline is not None:
        check_option("baseline", baseline, list(reports))
    level = check_number("level", level, above=0, below=1)
    check_integer("resamples", resamples)
    check_seed(seed)
    values = paired_values(reports, metric)
    if baseline is None:
        pairs = list(combinations(reports, 2))
    else:
        pairs = [(name, baseline) for name in reports if name != baseline]
    bounds = intervals(values, pairs, level=level, resamples=resamples, seed=seed)
    averages = {name: seeds.mean(axis=0) for name, seeds in values.items()}
    rows = []
    for (a, b), (low, high) in zip(pairs, bounds, strict=True):
        differences = averages[a] - averages[b]
        means = averages[a].mean(), averages[b].mean(), differences.mean()
        spread = Spread.of(differences, values[a], values[b])
        p = signed_rank(averages[a], averages[b])
        p_mean = mean_test(float(means[2]), spread, len(differences))
        visible = detectable(spread, level, POWER)
        note = "; ".join(filter(None, (cut_note(name, reports[name]) for name in (a, b))))
        rows.append([metric, a, b, *means, low, high, p, p, p_mean, visible, "", note])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for name in ("p_holm", "p_mean_holm"):
        frame[name] = holm(frame[name].to_numpy())
    return Comparison(frame.assign(better=_better(frame, metric, level)))


def _better(frame: pd.DataFrame, metric: str, level: float) -> np.ndarray:
    shown = frame[["p_holm", "p_mean_holm"]].max(axis=1, skipna=False) < 1 - level
    above, below = shown & (frame["low"] > 0), shown & (frame["high"] < 0)
    if less_is_better(metric):
        above, below = below, above
    return np.select([above, below], [frame["a"], frame["b"]], "")


NEEDED = ["metric", "a", "b", "difference", "low", "high"]
NEEDED += ["p_holm", "p_mean_holm", "detectable", "better"]


@explained
def verdicts(frame: pd.DataFrame) -> list[str]:
    """A sentence for every row of a frame of `recae.compare`, in its order.

    Frames of several metrics may be concatenated. One is "better" if both tests and the interval
    agree on it; p is the larger of p_holm and p_mean_holm. "No difference shown" means that the
    test is not significant, not that the models are equal. The column `detectable` has the
    difference that a single test, not adjusted for the others, finds four times in five. The note
    of a row ends its sentence. Raises ConfigError for anything but a frame with the columns of
    `recae.compare`.

    >>> users = pd.Index(range(40))
    >>> a = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.7] * 20}, index=users))
    >>> b = recae.Report("b", pd.DataFrame({"ndcg@5": [0.4, 0.5] * 20}, index=users))
    >>> c = recae.Report("c", pd.DataFrame({"ndcg@5": [0.2, 0.7] * 20}, index=users))
    >>> frame = recae.compare({"a": a, "b": b, "c": c}, "ndcg@5", baseline="b")
    >>> for line in recae.evaluation.comparison.verdicts(frame):  # doctest: +NORMALIZE_WHITESPACE
    ...     print(line)
    a is better than b by 0.1500 [0.1350, 0.1650] in ndcg@5 (p < 0.0001 after Holm)
    c and b: no difference shown in ndcg@5, -0.0000 [-0.0600, 0.0600] (p = 1.00 after Holm);
    such a test alone could have shown 0.0897
    """
    if not isinstance(frame, pd.DataFrame):
        raise ConfigError(
            f"verdicts need a frame made by recae.compare, not {type(frame).__name__}",
            parameter="frame",
            value=frame,
        )
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise ConfigError(f"the frame has no column {missing[0]!r}: pass one made by recae.compare")
    return [_sentence(row) + _note(row.get("note")) for _, row in frame.iterrows()]


def _note(note: object) -> str:
    return f". Note: {note}" if isinstance(note, str) and note else ""


def _sentence(row: pd.Series) -> str:
    """One comparison in words, with the better model as the subject. Without a winner it says which
    difference the test could have shown."""
    a, b, metric, better = (str(row[name]) for name in ("a", "b", "metric", "better"))
    difference, low, high, visible = (
        float(row[name]) for name in ("difference", "low", "high", "detectable")
    )
    if better == b != a:  # the better one is the subject of the sentence
        a, b, difference, low, high = b, a, -difference, -high, -low
    less = bool(better) and less_is_better(metric)
    if less:
        difference, low, high = -difference, -high, -low
    digits = _digits(difference if better else visible)
    amount = f"{difference:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    larger = float(row[["p_holm", "p_mean_holm"]].astype(float).max(skipna=False))
    p = f"({_probability(larger)} after Holm)"
    if better:
        how = ", where less is better," if less else ""
        return f"{a} is better than {b} by {amount} in {metric}{how} {p}"
    limit = (
        "" if math.isnan(visible) else f"; such a test alone could have shown {visible:.{digits}f}"
    )
    return f"{a} and {b}: no difference shown in {metric}, {amount} {p}{limit}"


def _digits(value: float) -> int:
    """Decimals that show two figures of it, four at least."""
    if math.isnan(value) or value == 0:
        return 4
    return max(4, 1 - math.floor(math.log10(abs(value))))


def _probability(p: float) -> str:
    if math.isnan(p):
        return "p unknown"
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.1g}" if p < 0.01 else f"p = {p:.2f}"
