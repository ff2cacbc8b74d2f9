"""Rank-biased overlap against the endless sum that it stands for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError
from recae.evaluation import rank_biased_overlap


def slow(first: list[object], second: list[object], p: float) -> float:
    """(1 - p) sum of p^(d - 1) A_d with the agreement of each depth, to depth 3,000.

    Below the end of the shorter list its items go on agreeing as they did at its end; below the end
    of the longer one the agreement stays. (Webber et al. 2010, section 4.3.)
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return math.nan
    total, agreement = 0.0, 0.0
    at_end = len({*short} & {*long[: len(short)]}) / len(short)
    for depth in range(1, 3000):
        if depth <= len(long):
            shared = len({*short[:depth]} & {*long[:depth]})
            agreement = (shared + max(depth - len(short), 0) * at_end) / depth
        total += (1 - p) * p ** (depth - 1) * agreement
    return total


def lists(seed: int, users: int = 25) -> dict[int, list[object]]:
    rng = np.random.default_rng(seed)
    return {u: rng.permutation(15)[: rng.integers(1, 12)].tolist() for u in range(users)}


def frame(of: dict[int, list[object]]) -> pd.DataFrame:
    rows = [(user, item, rank) for user, items in of.items() for rank, item in enumerate(items, 1)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rank"])
    return table.sample(frac=1, random_state=0)


@pytest.mark.parametrize("p", [0.3, 0.9, 0.98])
def test_it_is_the_endless_sum(p: float) -> None:
    one, other = lists(0), lists(1)
    found = rank_biased_overlap(frame(one), frame(other), p=p)
    expected = [slow(one[user], other[user], p) for user in found.index]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(rank_biased_overlap(frame(other), frame(one), p=p), found)
    cut = rank_biased_overlap(frame(one), frame(other), p=p, k=4)
    np.testing.assert_allclose(cut, [slow(one[u][:4], other[u][:4], p) for u in cut.index])


def test_equal_and_disjoint_lists() -> None:
    one = frame(lists(2))
    np.testing.assert_allclose(rank_biased_overlap(one, one), 1.0)
    assert rank_biased_overlap(one, one.assign(item_id=one["item_id"] + 100)).eq(0).all()


def test_users_of_one_table_have_none() -> None:
    one, other = lists(3, 4), lists(4, 6)
    found = rank_biased_overlap(frame(one), frame(other))
    assert found.index.tolist() == [*range(6)] and found.isna().tolist() == [False] * 4 + [True] * 2
    assert found.mean() == pytest.approx(np.mean([slow(one[u], other[u], 0.9) for u in range(4)]))


def test_exports_and_lists_of_models(tmp_path: Path) -> None:
    data = recae.load_dataset("ml-latest-small").interactions.k_core(40, 40)
    files = []
    for model in (recae.EASE(), recae.Popularity()):
        files.append(tmp_path / f"{model.name}.parquet")
        model.fit(data).export(files[-1], data, k=10)
    found = rank_biased_overlap(*files)
    tables = [pd.read_parquet(file).sort_values("rank") for file in files]
    user = found.index[7]
    ours = [table.loc[table["user_id"] == user, "item_id"].tolist() for table in tables]
    assert found[user] == pytest.approx(slow(ours[0], ours[1], 0.9))
    assert len(found) == data.n_users


def test_what_cannot_be_compared() -> None:
    one = frame(lists(5))
    for p in (0, 1, "0.9", None):
        with pytest.raises(ConfigError) as caught:
            rank_biased_overlap(one, one, p=p)  # type: ignore[arg-type]
        assert caught.value.parameter == "p"
    with pytest.raises(ConfigError):
        rank_biased_overlap(one, one, k=0)
    with pytest.raises(DataError, match="text"):
        rank_biased_overlap(one, one.assign(item_id=one["item_id"].astype(str)))
    with pytest.raises(DataError, match="both"):
        rank_biased_overlap(one, one.assign(user_id=one["user_id"] + 1000))
    for wrong in (None, 3, one.drop(columns="rank")):
        with pytest.raises(DataError):
            rank_biased_overlap(one, wrong)
