"""Data of line charts: metrics by history, recall by popularity, training and tuning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recae.evaluation import by_history, by_popularity
from recae.report.entry import Entry
from recae.report.rows import amount, figure, interval, less_is_better

BEST, MOST = 5, 8
"""The most lines of a picture: of the best entries, and of all."""
BASELINES = ("Popularity", "ItemKNN", "EASE")
"""Models whose line is there even if they are not among the best."""


@dataclass(frozen=True)
class Line:
    """A name and its points.

    low, high: the intervals of y, empty where there are none. hints: the tooltip of each point.
    steps: the line runs on level to the next point. dots: single points, with their hints.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    hints: Sequence[str] = ()
    steps: bool = False
    dots: Sequence[tuple[float, float, str]] = ()


def few(ordered: Sequence[Entry]) -> list[Entry]:
    """The best, and the baselines among the others."""
    if len(ordered) <= MOST:
        return list(ordered)
    others = [e for e in ordered[BEST:] if e.reports[0].model.partition("(")[0] in BASELINES]
    return [*ordered[:BEST], *others[: MOST - BEST]]


def kinds(lines: Sequence[Line], ordered: Sequence[Entry]) -> list[int]:
    """Which of the eight colours and marks each line has: an entry among the first eight that of
    its place, the same in every picture; any other one that is left."""
    names = [one.name for one in lines]
    place = {entry.name: number for number, entry in enumerate(ordered)}
    taken = {place[name] for name in names}
    free = iter([number for number in range(MOST) if number not in taken])
    return [place[name] if place[name] < MOST else next(free) for name in names]


def history_lines(ordered: Sequence[Entry], metric: str) -> tuple[list[Line], pd.DataFrame]:
    """The metric by the length of the histories, first seeds, and the bins as a frame."""
    lines, bins, starts = [], pd.DataFrame(), list[int]()
    shown = few([entry for entry in ordered if _has_history(entry, metric)])
    for entry in shown:
        frame = by_history(entry.reports[0], metric, starts or 5)
        if not starts:  # those of the first for all, whose users without a value may be others
            shortest = min(_shortest(e, metric) for e in shown)
            bins, starts = frame, [shortest, *frame["low"].tolist()[1:]]
            bins.loc[0, "low"] = shortest
        means, lows, highs = (frame[name].tolist() for name in ("mean", "ci_low", "ci_high"))
        hints = [
            f"{entry.name}, {words} items: {figure(mean)} {interval(low, high)}".rstrip()
            for words, mean, low, high in zip(ranges(frame), means, lows, highs, strict=True)
        ]
        lines.append(Line(entry.name, range(len(frame)), means, lows, highs, hints))
    return _drawable(lines), bins


def _has_history(entry: Entry, metric: str) -> bool:
    report = entry.reports[0]
    counted = "history" in report.users and metric in report.per_user
    return counted and bool(report.per_user[metric].notna().any())


def _shortest(entry: Entry, metric: str) -> int:
    report = entry.reports[0]
    some = report.per_user[metric].notna().to_numpy()
    return int(report.users["history"].to_numpy()[some].min())


def popularity_lines(ordered: Sequence[Entry], k: int) -> tuple[list[Line], pd.DataFrame]:
    """The recall at k of items from the tail to the head, first seeds, and the groups."""
    lines, groups = [], pd.DataFrame()
    # Lists of another system need not say what it was trained on.
    needed = {f"hits@{k}", "training_users"}
    for entry in few([e for e in ordered if needed <= {*e.reports[0].items}]):
        frame = by_popularity(entry.reports[0], k)[::-1].reset_index(drop=True)
        groups = frame if groups.empty else groups
        if ranges(frame) != ranges(groups):
            continue  # counted on another training part: not the same groups
        columns = (frame[name].tolist() for name in ("hits", "targets", "listed_share"))
        hints = [
            f"{entry.name}, items of {words} training users: {hits:,} of {targets:,} found, "
            f"{listed:.1%} of all places"
            for words, hits, targets, listed in zip(ranges(frame), *columns, strict=True)
        ]
        lines.append(Line(entry.name, range(len(frame)), frame["recall"].tolist(), hints=hints))
    return _drawable(lines), groups


def ranges(bins: pd.DataFrame) -> list[str]:
    """The bounds of each bin or group: `3` or `4–9`."""
    bounds = zip(bins["low"].tolist(), bins["high"].tolist(), strict=True)
    return [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in bounds]


def cut_offs(entries: Sequence[Entry]) -> list[int]:
    """The k that the hits of items were counted at, ascending."""
    names = {str(name) for entry in entries for name in entry.reports[0].items}
    return sorted(int(name[5:]) for name in names if name.startswith("hits@"))


def curve_lines(ordered: Sequence[Entry]) -> dict[str, list[Line]]:
    """The validation metric after each epoch of the first fit, by the metric's name."""
    found: dict[str, list[Line]] = {}
    for entry in ordered:
        metrics = dict.fromkeys(n for epoch in entry.epochs for n in epoch.get("metrics") or {})
        for metric in metrics:
            curve = [(e["number"], (e.get("metrics") or {}).get(metric)) for e in entry.epochs]
            x, y = zip(*((float(number), _number(value)) for number, value in curve), strict=True)
            hints = [f"{entry.name}, epoch {n:g}: {figure(v)}" for n, v in zip(x, y, strict=True)]
            found.setdefault(metric, []).append(Line(entry.name, x, y, hints=hints))
    return {m: some[:MOST] for m, lines in found.items() if (some := _drawable(lines))}


def trial_lines(ordered: Sequence[Entry], metric: str) -> list[Line]:
    """The best value until then, against the seconds that the tuning had taken, and each trial."""
    lines = []
    worst, better = (math.inf, min) if less_is_better(metric) else (-math.inf, max)
    for entry in ordered:
        ends = np.cumsum([_number(trial.get("seconds"), 0.0) for trial in entry.trials])
        x, y, dots, best = [], [], [], worst
        for end, trial in zip(ends.tolist(), entry.trials, strict=True):
            value = _number(trial.get("value"))
            if not math.isfinite(value):
                continue
            best = better(best, value)
            x.append(end)
            y.append(best)
            dots.append((end, value, f"{entry.name}, {amount(end)} s: {_told(trial)}"))
        lines.append(Line(entry.name, x, y, steps=True, dots=dots))
    return _drawable(lines)[:BEST]


def _told(trial: Mapping[str, Any]) -> str:
    params = ", ".join(f"{name}={value}" for name, value in (trial.get("params") or {}).items())
    state = trial.get("state")
    return f"{figure(_number(trial.get('value')))} {params}" + (f" ({state})" if state else "")


def _drawable(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if any(map(math.isfinite, line.y))]


def _number(value: Any, missing: float = math.nan) -> float:
    return missing if value is None else float(value)
