"""Breaks a report down by the length of histories and by the popularity of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recae.errors import ConfigError, DataError, check_integer, check_option, explained
from recae.evaluation.report import Report, check_report
from recae.metrics import IntArray, bootstrap_interval, popularity_groups


@explained
def by_history(
    report: Report, metric: str, bins: int | Sequence[int] = 5, *, seed: int = 0
) -> pd.DataFrame:
    """A metric by the number of items in the users' histories, shortest first.

    bins: the number of bins, with nearly equal numbers of users (users with histories of one length
    stay together, so there can be fewer). Or the lowest length of each bin, ascending, as `[1, 6,
    11]`. A row for each bin, with the columns low and high (its lengths, both included) and users
    (those who have a value; others count nowhere). mean, ci_low and ci_high are the mean over these
    users and its 95 % bootstrap interval. A bin without users has NaN. seed: of the bootstrap.

    Raises ConfigError for an unknown metric, one without a value per user, or bad bins; DataError
    if the report has no history lengths or no user has a value.

    >>> from recae.evaluation import by_history
    >>> lengths = pd.DataFrame({"history": [1, 2, 7], "targets": [1, 1, 1]}, index=[5, 6, 7])
    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.0, 0.5]}, index=[5, 6, 7])
    >>> frame = by_history(recae.Report("a", values, users=lengths), "ndcg@5", bins=[1, 4])
    >>> frame[["low", "high", "users", "mean"]]
       low  high  users  mean
    0    1     3      2  0.25
    1    4     7      1  0.50
    """
    check_report(report)
    check_option("metric of this report", metric, report.metrics, parameter="metric")
    if metric not in report.per_user:
        raise ConfigError(
            f"{metric} is one number, not one per user: it has no breakdown",
            parameter="metric",
            value=metric,
        )
    if "history" not in report.users:
        raise DataError("this report has no history lengths: evaluate the model again")
    values = report.per_user[metric].to_numpy(dtype=np.float64)
    lengths = report.users["history"].to_numpy(dtype=np.int64)
    if len(lengths) != len(values):
        raise DataError(
            f"this report has values of {len(values)} users but {len(lengths)} history lengths"
        )
    some = ~np.isnan(values)
    if not some.any():
        raise DataError(f"no user has a value of {metric}: there is nothing to break down")
    values, lengths = values[some], lengths[some]
    lows = _lows(bins, lengths)
    place = np.searchsorted(lows, lengths, side="right") - 1
    rows: list[tuple[Any, ...]] = []
    for number, low in enumerate(lows):
        inside = values[place == number]
        last = number + 1 == len(lows)
        high = max(int(lengths.max()), int(low)) if last else int(lows[number + 1]) - 1
        mean = float(inside.mean()) if len(inside) else float("nan")
        rows.append((int(low), high, len(inside), mean, *bootstrap_interval(inside, seed=seed)))
    return pd.DataFrame(rows, columns=["low", "high", "users", "mean", "ci_low", "ci_high"])


def _lows(bins: Any, lengths: IntArray) -> IntArray:
    """The lowest length of each bin, ascending."""

    def bad(message: str) -> ConfigError:
        return ConfigError(message, parameter="bins", value=bins)

    if isinstance(bins, int | np.integer) and not isinstance(bins, bool):
        bins = min(check_integer("bins", bins), len(lengths))
        quantiles = np.arange(bins) * len(lengths) // bins
        return np.unique(np.sort(lengths)[quantiles])
    lows = np.asarray(bins)
    if lows.ndim != 1 or not lows.size or not np.issubdtype(lows.dtype, np.integer):
        raise bad(f"bins must be a number or lengths such as [1, 6, 11], not {bins!r}")
    lows = lows.astype(np.int64)
    if (np.diff(lows) <= 0).any():
        raise bad(f"bins must ascend, each length once; found {lows.tolist()}")
    if lows[0] > lengths.min():
        raise bad(
            f"bins begin at {lows[0]}, but {int((lengths < lows[0]).sum()):,} users have shorter "
            f"histories: begin at {lengths.min()} or below"
        )
    return lows


@explained
def by_popularity(report: Report, k: int, groups: int = 5) -> pd.DataFrame:
    """Hits within the first k by the popularity of the items, from the head to the tail.

    The items, most training users first, are cut into groups that hold nearly equal numbers of
    training interactions, not of items. A few popular items make up the first group, most of the
    catalogue the last. Items with equally many training users stay together, in the group in which
    the middle of their interactions falls, so there can be fewer groups than requested. The
    frame has a row for each group. Its columns low and high bound the training users of the items;
    items and training_share (of all training interactions) are the size. targets are the held-out
    interactions with these items, hits those found within k. recall is hits / targets, pooled over
    users: not the mean over users, and NaN without targets. listed_share is the share of the list
    places within k that are not empty.

    Raises ConfigError for a k that no metric of the report has, or for groups < 1; DataError if the
    report has no item counts, or no counts of training users.

    >>> fold = recae.data.splits.holdout_pairs(data, 0.5, seed=1).validation
    >>> report = recae.evaluate(recae.Popularity().fit(data), fold, "recall@1")
    >>> recae.evaluation.by_popularity(report, k=1, groups=2)[["low", "high", "items"]]
       low  high  items
    0    3     3      3
    1    2     2      1
    """
    check_report(report)
    items = report.items
    if "targets" not in items:
        raise DataError("this report has no item counts: evaluate the model again")
    if "training_users" not in items:
        raise DataError(
            "this report has no counts of training users: pass train= to the Lists or the Scorer "
            "and evaluate again"
        )
    if f"hits@{k}" not in items:
        named = (str(name).partition("@") for name in items)
        known = sorted(int(cut) for what, _, cut in named if what == "hits")
        raise ConfigError(
            f"this report has no lists of {k!r}; its cut-offs are {known}",
            parameter="k",
            value=k,
        )
    groups = check_integer("groups", groups)
    training = items["training_users"].to_numpy(dtype=np.int64)
    sums = (
        pd.DataFrame(
            {
                "group": popularity_groups(training, groups),
                "users": training,
                "targets": items["targets"].to_numpy(),
                "hits": items[f"hits@{k}"].to_numpy(),
                "listed": items[f"listed@{k}"].to_numpy(),
            }
        )
        .groupby("group")
        .agg(
            low=("users", "min"),
            high=("users", "max"),
            items=("users", "size"),
            training_share=("users", "sum"),
            targets=("targets", "sum"),
            hits=("hits", "sum"),
            recall=("hits", "sum"),
            listed_share=("listed", "sum"),
        )
        .reset_index(drop=True)
    )
    sums["recall"] = _share(sums["hits"], sums["targets"])
    for name in ("training_share", "listed_share"):
        sums[name] = _share(sums[name], sums[name].sum())
    return sums


def _share(part: pd.Series[Any], whole: Any) -> pd.Series[Any]:
    """part / whole, NaN where there is nothing."""
    return part.astype(np.float64) / pd.Series(whole, index=part.index).replace(0, np.nan)
