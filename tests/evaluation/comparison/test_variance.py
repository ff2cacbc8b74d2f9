"""Variance components: arithmetic by hand, planted components, and the analysis of variance."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from recae import Report
from recae.errors import ConfigError, DataError
from recae.evaluation.comparison import variance

METRIC = "ndcg@5"


def reports(values, target="t"):
    """A report for each row of (seeds, users)."""
    return [
        Report("m", pd.DataFrame({METRIC: row}), provenance={"target": target}) for row in values
    ]


def test_by_hand():
    # Users (columns) 1, 5, 6 and seeds (rows): means 3 and 5; users' means 2, 4, 6; mean 4.
    # Rest: 1-3-2+4=0, 4-3-4+4=1, 4-3-6+4=-1 and their negatives: sum of squares 4.
    found = variance(reports([[1.0, 4.0, 4.0], [3.0, 4.0, 8.0]]), METRIC)
    rest = 4 / (2 * 1)
    users = 2 * ((2 - 4) ** 2 + 0 + (6 - 4) ** 2) / 2
    seeds = 3 * ((3 - 4) ** 2 + (5 - 4) ** 2) / 1
    assert (found.mean, found.users, found.seeds) == (4, 3, 2)
    assert found.var_rest == pytest.approx(rest)
    assert found.var_user == pytest.approx((users - rest) / 2)
    assert found.var_seed == pytest.approx((seeds - rest) / 3)
    assert found.sd_seeds == pytest.approx(math.sqrt(2))
    # One run: the variances over users are 3 (of 1, 4, 4) and 7 (of 3, 4, 8), on average 5.
    assert found.se_users**2 == pytest.approx(5 / 3)
    assert found.se_users**2 == pytest.approx((found.var_user + found.var_rest) / 3)
    assert found.se_seeds**2 == pytest.approx(4 / 3)
    assert found.se**2 == pytest.approx(3)
    assert (found.share_users, found.share_seeds) == pytest.approx((5 / 9, 4 / 9))
    assert found.se_mean**2 == pytest.approx(3 / 3 + 4 / 3 / 2 + 2 / 6)


@pytest.mark.parametrize("planted", [(1.0, 0.05, 0.3), (0.2, 0.0, 0.5), (0.0, 0.3, 0.1)])
def test_planted_components(planted):
    """Unbiased: the mean estimate of many experiments is what was planted."""
    generator = np.random.default_rng(0)
    (sd_user, sd_seed, sd_rest), users, seeds, runs = planted, 40, 6, 150
    found = []
    for _ in range(runs):
        values = (
            sd_user * generator.normal(size=users)
            + sd_seed * generator.normal(size=(seeds, 1))
            + sd_rest * generator.normal(size=(seeds, users))
        )
        one = variance(reports(values), METRIC)
        found.append([one.var_user, one.var_seed, one.var_rest, one.se_mean**2, one.mean**2])
    user, seed, rest, stated, happened = np.mean(found, axis=0)
    # Relative standard errors of the means, from chi-squared: sqrt(2 / 39 / 150) = 0.018 for users,
    # sqrt(2 / 5 / 150) = 0.052 for seeds. Planted zeros are overestimated by what is cut off.
    assert user == pytest.approx(sd_user**2, rel=0.08, abs=0.003)
    assert seed == pytest.approx(sd_seed**2, rel=0.25, abs=0.003)
    assert rest == pytest.approx(sd_rest**2, rel=0.02)
    assert stated == pytest.approx(happened, rel=0.4)  # 150 squares: four times sqrt(2 / 150)


def test_negative_estimates_count_as_zero():
    # Both seeds have the same mean, and so have both users: all is rest.
    found = variance(reports([[0.0, 1.0], [1.0, 0.0]]), METRIC)
    assert (found.var_user, found.var_seed, found.var_rest) == (0, 0, 1)
    assert (found.share_users, found.share_seeds) == (1, 0)


def test_no_spread_at_all():
    found = variance(reports([[0.5, 0.5], [0.5, 0.5]]), METRIC)
    assert (found.se, found.se_mean) == (0, 0)
    assert math.isnan(found.share_users) and math.isnan(found.share_seeds)


def test_one_seed_has_no_spread_of_seeds():
    (one,) = reports([[1.0, 4.0, 4.0]])
    for given in (one, [one]):
        found = variance(given, METRIC)
        assert (found.mean, found.se_users) == (3, pytest.approx(1))
        unknown = [found.sd_seeds, found.se_seeds, found.se, found.share_seeds, found.se_mean]
        assert np.isnan(unknown).all() and np.isnan([found.var_user, found.share_users]).all()
    assert "seeds unknown" in str(found)


def test_one_user_has_no_spread_of_users():
    found = variance(reports([[1.0], [3.0]]), METRIC)
    assert (found.mean, found.sd_seeds) == (2, pytest.approx(math.sqrt(2)))
    assert np.isnan([found.se_users, found.se_seeds, found.se, found.se_mean]).all()


def test_users_without_a_target_do_not_count():
    nan = float("nan")
    found = variance(reports([[1.0, nan, 4.0], [3.0, nan, 8.0]]), METRIC)
    assert (found.users, found.mean) == (2, 4)


def test_it_reads_as_a_sentence():
    text = str(variance(reports([[1.0, 4.0, 4.0], [3.0, 4.0, 8.0]]), METRIC))
    assert re.fullmatch(
        r"ndcg@5 4\.0000 .*3 users .*2 seeds.* 1\.7321.* 56% .*users, 44% .*seeds", text
    )


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="empty sequence"):
        variance([], METRIC)
    with pytest.raises(DataError, match=r"\(report 2\) .*another target"):
        variance([*reports([[1.0, 2.0]]), *reports([[1.0, 2.0]], target="u")], METRIC)


def test_what_is_unknown_is_said_without_nan():
    one_user = variance(reports([[1.0], [3.0]]), METRIC)
    assert re.fullmatch(r"ndcg@5 2\.0000 .*1 user .*2 seeds: .*unknown", str(one_user))
    alike = variance(reports([[0.5, 0.5], [0.5, 0.5]]), METRIC)
    assert re.fullmatch(r"ndcg@5 0\.5000 .*2 users .*2 seeds: no spread.*", str(alike))
    one_seed = variance(reports([[1.0, 4.0, 4.0]]), METRIC)
    assert re.match(r"ndcg@5 3\.0000 .*3 users .*1 seed: standard error .*users", str(one_seed))
