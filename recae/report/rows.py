"""The rows of a report: metrics, order, formatted numbers and published figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recae.errors import ConfigError, check_option
from recae.metrics import less_is_better as less_is_better
from recae.report.entry import Entry, Published


@dataclass(frozen=True)
class Measured:
    """One metric of one entry.

    mean: over users and seeds. sd: of the seeds' means, NaN for one seed. low, high: the 95 %
    interval over the users of the first seed, NaN where there is none. seeds: the mean of each.
    """

    mean: float
    sd: float
    low: float
    high: float
    seeds: tuple[float, ...]


def measured(entry: Entry, metric: str) -> Measured | None:
    """The numbers of a metric; None where a report of the entry does not have it."""
    if any(metric not in report.metrics for report in entry.reports):
        return None
    seeds = tuple(report[metric] for report in entry.reports)
    low, high = entry.reports[0].interval.get(metric, (math.nan, math.nan))
    sd = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else math.nan
    return Measured(float(np.mean(seeds)), sd, low, high, seeds)


def choose_metrics(
    entries: Sequence[Entry], metrics: Sequence[str] | None, metric: str | None
) -> list[str]:
    """The metrics of a report, the main one first: `metric`, or the first that all entries have.

    Raises ConfigError for a metric that no entry has, and for a main one that some entry lacks.
    """
    known = list(dict.fromkeys(name for entry in entries for name in entry.reports[0].metrics))
    metrics = None if metrics is None else texts("metrics", metrics)
    shared = [name for name in known if all(measured(entry, name) for entry in entries)]
    shown = known if metrics is None else list(dict.fromkeys(metrics))
    for name in (*shown, *([] if metric is None else [metric])):
        check_option("metric of these entries", name, known)
    if metric is None:
        metric = next((name for name in shown if name in shared), None)
        if metric is None:
            raise ConfigError("the entries have no metric in common: there is nothing to sort by")
    for entry in entries:
        if measured(entry, metric) is None:
            raise ConfigError(
                f"a report of {entry.name!r} has no {metric}, the metric to sort by; metrics that "
                f"every report has: {', '.join(shared) or 'none'}",
                parameter="metric",
                value=metric,
            )
    return [metric, *(name for name in shown if name != metric)]


def texts(parameter: str, given: object) -> list[str]:
    """One text or several as a list. Raises ConfigError for anything else."""
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, Iterable) or not all(isinstance(text, str) for text in found):
        raise ConfigError(
            f"{parameter} must be a text, or a list of texts, not {type(given).__name__}",
            parameter=parameter,
            value=given,
        )
    return list(found)


def best_first(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """The entries by a metric, those without a number last; ties go by name."""
    sign = 1 if less_is_better(metric) else -1

    def place(entry: Entry) -> tuple[bool, float, str]:
        value = entry.value(metric)
        return (math.isnan(value), 0.0 if math.isnan(value) else sign * value, entry.name)

    return sorted(entries, key=place)


def decimals(entries: Sequence[Entry], metric: str) -> int:
    """The decimals that a column of a metric is shown with: four for shares, fewer for more."""
    found = [abs(m.mean) for entry in entries if (m := measured(entry, metric))]
    largest = max((value for value in found if math.isfinite(value)), default=0.0)
    return 4 if largest < 2 else 3 if largest < 20 else 2 if largest < 200 else 1


def figure(value: float, digits: int = 4) -> str:
    """A metric as text, a dash for none.

    >>> figure(0.34917), figure(-1234.56, 1), figure(float("nan"))
    ('0.3492', '−1,234.6', '–')
    """
    return f"{value:,.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def amount(value: float | None) -> str:
    """Seconds or gigabytes as text: three digits that count, nothing for None.

    >>> amount(0.01234), amount(12.34), amount(1234.5), amount(None)
    ('0.0123', '12.3', '1,234', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 3 if value == 0 else max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{min(digits, 4)}f}" if value else "0"


def interval(low: float, high: float, digits: int = 4) -> str:
    """`[low, high]`, or nothing where there is none."""
    known = math.isfinite(low + high)
    return f"[{figure(low, digits)}, {figure(high, digits)}]" if known else ""


SHARE, TIMES, LEAST = 0.75, 3.0, 4
"""Parameters of `main_group`."""


def main_group(values: Sequence[float], *, less: bool = False) -> tuple[float, float]:
    """The bounds that all values lie in but those that are far off.

    A value is far off if it is more than three times as far from the best as the one that three
    quarters of the ranking are not worse than. The bounds are that far from the best on both sides;
    they are infinite for fewer than four values, and if three quarters are all the same.
    less: whether the least is best. What is not finite is passed over.

    >>> low, high = main_group([0.34, 0.33, 0.33, 0.31, 0.01])
    >>> round(low, 2), round(high, 2)
    (0.25, 0.43)
    """
    ranked = sorted((v for v in values if math.isfinite(v)), reverse=not less)
    if len(ranked) < LEAST:
        return -math.inf, math.inf
    best = ranked[0]
    reach = TIMES * abs(ranked[math.floor(SHARE * (len(ranked) - 1))] - best)
    return (best - reach, best + reach) if reach else (-math.inf, math.inf)


def tuning_seconds(entry: Entry) -> float | None:
    """The seconds that settings were chosen in; of a blend, those of its members."""
    known: float | None = _tuning(entry).get("seconds")
    return known if entry.tuning_seconds is None else entry.tuning_seconds


def tuned(entry: Entry) -> str:
    """The settings that were chosen and the number of trials, nothing where none were.

    >>> tuned(Entry("ease", entry.reports, trials=[{"params": {"l2": 9}, "value": 0.3}]))
    'l2 (1 trial)'
    """
    facts = _tuning(entry)
    # A setting called like a column of the table of trials has this ending there.
    names = [n.removesuffix("_set") for trial in entry.trials for n in trial.get("params", {})]
    searched = facts.get("searched") or ", ".join(dict.fromkeys(names))
    trials = int(facts.get("trials") or len(entry.trials))
    return f"{searched} ({trials:,} trial{'' if trials == 1 else 's'})" if searched else ""


def cut_short(entry: Entry) -> str:
    """The footnote of a model whose best trial was cut by the end of the time, else nothing."""
    note, reason = "the time limit of the tuning cut its best trial", _tuning(entry).get("cut")
    if reason:
        return f"{note}: {reason}"
    valued = [trial for trial in entry.trials if trial.get("value") is not None]
    best = max(valued, key=lambda trial: float(trial["value"]), default={})
    return note if best.get("state") == "cut" else ""


def _tuning(entry: Entry) -> Mapping[str, Any]:
    """What the first report knows of the tuning of its model."""
    known = entry.reports[0].provenance.get("tuning")
    return known if isinstance(known, Mapping) else {}


@dataclass
class Footnotes:
    """Notes in the order of their first mention; the same words have the same number."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """The number of a note, from 1."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def described(published: Published) -> str:
    """The footnote of a published figure.

    >>> described(Published(0.3, "a paper, table 2", comparable=False, note="other split"))
    'not comparable: other split. Read in: a paper, table 2'
    """
    note = published.note.strip().rstrip(".")
    if not published.comparable:
        note = f"not comparable: {note or 'another protocol'}"
    return f"{note}. Read in: {published.source}" if note else f"Read in: {published.source}"


def difference(entry: Entry, metric: str, digits: int = 4) -> str:
    """Ours less the published figure, with its sign; in parentheses if they cannot be compared."""
    published = entry.published[metric]
    text = signed(entry.value(metric) - published.value, digits)
    return text if published.comparable else f"({text})"


def published_figure(published: Published, digits: int = 4) -> str:
    """The figure; in parentheses if it cannot be compared with ours."""
    text = figure(published.value, digits)
    return text if published.comparable else f"({text})"


def signed(value: float, digits: int = 4) -> str:
    """With + or a real minus sign, if any digit of it can be seen.

    >>> signed(0.0123), signed(-0.0123), signed(-0.00001)
    ('+0.0123', '−0.0123', '0.0000')
    """
    text = figure(value, digits)
    if not any("1" <= sign <= "9" for sign in text):
        return text.removeprefix("−")
    return f"+{text}" if value > 0 else text


def with_published(entries: Sequence[Entry], metrics: Sequence[str]) -> list[str]:
    """The metrics that some entry has a published figure and a value of."""
    return [
        metric
        for metric in metrics
        if any(metric in e.published and metric in e.reports[0].metrics for e in entries)
    ]
