"""Splits the variance of a model's mean into the parts of users and of training seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recae.errors import explained
from recae.evaluation.comparison.pairing import paired_values
from recae.evaluation.report import Report

NAN = float("nan")


@explained
@dataclass(frozen=True)
class Variance:
    """The mean of a metric, and the shares of its variance that are due to users and to seeds.

    metric. users, seeds: their numbers. mean: over users and seeds.
    sd_seeds: standard deviation of the seeds' means, as papers give it.
    se_users: standard error of one run's mean by the choice of users, sd over users / sqrt(users).
    se_seeds: by the choice of the seed, beyond what chance among these users explains.
    se: of one run's mean by both, sqrt(se_users^2 + se_seeds^2). share_users, share_seeds: of se^2.
    se_mean: standard error of `mean`, over all users and seeds given.
    var_user, var_seed, var_rest: the components of the variance of one user's value in one run.

    See `variance`. Of one seed all but mean and se_users are NaN; of one user all but mean
    and sd_seeds.

    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
    >>> found = recae.evaluation.comparison.variance([recae.Report("a", values)], "ndcg@5")
    >>> round(found.se_users, 3), found.se_seeds  # sd 0.141 over sqrt(2); one seed has no spread
    (0.1, nan)
    """

    metric: str
    mean: float
    users: int
    seeds: int
    sd_seeds: float
    se_users: float
    se_seeds: float
    se: float
    share_users: float
    share_seeds: float
    se_mean: float
    var_user: float
    var_seed: float
    var_rest: float

    def __str__(self) -> str:
        """A readable line."""
        many = [
            f"{number:,} {what}{'' if number == 1 else 's'}"
            for number, what in ((self.users, "user"), (self.seeds, "seed"))
        ]
        start = f"{self.metric} {self.mean:.4f} of {' and '.join(many)}: "
        if math.isnan(self.se_users):
            return f"{start}standard error unknown"
        if math.isnan(self.se):
            return f"{start}standard error by users {self.se_users:.4f}, by seeds unknown"
        if self.se == 0:
            return f"{start}no spread at all"
        return (
            f"{start}standard error of one run {self.se:.4f}, {self.share_users:.0%} of its square "
            f"by users, {self.share_seeds:.0%} by seeds"
        )


@explained
def variance(reports: Report | Sequence[Report], metric: str) -> Variance:
    """The shares of a mean's variance that are due to the choice of users and to the seed.

    reports: those of one model under several seeds, on the same fold. With n users and S seeds, the
    value of user u under seed s is

        x[u, s] = mean + user[u] + seed[s] + rest[u, s]

    with independent random parts (two-way crossed, one value a cell). The estimates are those of
    the analysis of variance (Searle, Casella & McCulloch 1992, chapter 4), from the mean squares of
    users, seeds and the rest, MS_u = S * var(user means), MS_s = n * var(seed means) and
    MS_e = sum of (x - user mean - seed mean + mean)^2 / ((n - 1) (S - 1)):

        var_rest = MS_e    var_user = (MS_u - MS_e) / S    var_seed = (MS_s - MS_e) / n

    where a negative one counts as 0. One run's mean varies by

        se^2 = se_users^2 + se_seeds^2,   se_users^2 = mean over seeds of var over users / n,
                                          se_seeds^2 = var_seed

    (the first is (var_user + var_rest) / n), and the mean of all runs by
    se_mean^2 = var_user / n + var_seed / S + var_rest / (n S). Few seeds estimate var_seed badly:
    of five, the 95 % interval of a variance reaches from 0.4 to 8 times its estimate.

    Memory is twice the values. Raises ConfigError for no report, an unknown metric or one without a
    value per user; DataError if the reports have other targets, users or defined values.

    >>> from recae.evaluation.comparison import variance
    >>> values = [[0.0, 1.0], [0.2, 1.2]]  # the second seed is better by 0.2 for both users
    >>> frames = [pd.DataFrame({"ndcg@5": value}, index=["u", "v"]) for value in values]
    >>> found = variance([recae.Report("a", frame) for frame in frames], "ndcg@5")
    >>> round(found.se_users, 6), round(found.se_seeds, 6), round(found.share_seeds, 6)
    (0.5, 0.141421, 0.074074)
    """
    values = paired_values({"report": reports}, metric)["report"]  # (seeds, users)
    seeds, users = values.shape
    by_user, by_seed, mean = values.mean(axis=0), values.mean(axis=1), float(values.mean())
    sd_seeds = float(by_seed.std(ddof=1)) if seeds > 1 else NAN
    within = float(values.var(axis=1, ddof=1).mean()) if users > 1 else NAN
    parts = (NAN, NAN, NAN)
    if users > 1 and seeds > 1:
        rest = values - by_user - by_seed[:, None] + mean
        squares_rest = float((rest**2).sum()) / ((users - 1) * (seeds - 1))
        squares_user = seeds * float(by_user.var(ddof=1))
        squares_seed = users * float(by_seed.var(ddof=1))
        parts = (
            max(squares_user - squares_rest, 0.0) / seeds,
            max(squares_seed - squares_rest, 0.0) / users,
            squares_rest,
        )
    var_user, var_seed, var_rest = parts
    total = within / users + var_seed
    return Variance(
        metric=metric,
        mean=mean,
        users=users,
        seeds=seeds,
        sd_seeds=sd_seeds,
        se_users=math.sqrt(within / users),
        se_seeds=math.sqrt(var_seed),
        se=math.sqrt(total),
        share_users=within / users / total if total else NAN,
        share_seeds=var_seed / total if total else NAN,
        se_mean=math.sqrt(var_user / users + var_seed / seeds + var_rest / (users * seeds)),
        var_user=var_user,
        var_seed=var_seed,
        var_rest=var_rest,
    )
