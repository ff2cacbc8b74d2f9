"""RMSE, MAE and R2 of tables against scikit-learn, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

import recae
from recae import ConfigError, DataError
from recae.evaluation import rating_errors

RNG = np.random.default_rng(0)
TRUTH = pd.DataFrame({"user_id": RNG.integers(0, 20, 150), "item_id": RNG.integers(0, 30, 150)})
TRUTH = TRUTH.drop_duplicates().assign(weight=lambda f: RNG.integers(1, 6, len(f)).astype(float))
GUESS = TRUTH[["user_id", "item_id"]].assign(
    prediction=TRUTH["weight"] + RNG.normal(0, 1, len(TRUTH))
)


def test_they_are_those_of_scikit_learn(tmp_path: Path) -> None:
    expected = {
        "rmse": mean_squared_error(TRUTH["weight"], GUESS["prediction"]) ** 0.5,
        "mae": mean_absolute_error(TRUTH["weight"], GUESS["prediction"]),
        "r2": r2_score(TRUTH["weight"], GUESS["prediction"]),
        "pairs": len(TRUTH),
    }
    shuffled = GUESS.sample(frac=1, random_state=1)
    more = pd.DataFrame({"user_id": [99, 0], "item_id": [0, 999], "prediction": [1.0, 2.0]})
    shuffled.to_parquet(tmp_path / "a.parquet")
    renamed = shuffled.rename(columns={"user_id": "u", "item_id": "i", "prediction": "rating"})
    for found in (
        rating_errors(shuffled, TRUTH),
        rating_errors(pd.concat([shuffled, more]), recae.Interactions.from_frame(TRUTH)),
        rating_errors(tmp_path / "a.parquet", TRUTH),
        rating_errors(renamed, TRUTH, user="u", item="i", prediction="rating"),
    ):
        assert found == pytest.approx(expected)
    assert np.isnan(rating_errors(GUESS, TRUTH.assign(weight=3.0))["r2"])


def test_pairs_without_a_prediction() -> None:
    some = GUESS.iloc[5:]
    with pytest.raises(DataError, match=rf"\b5 of {len(TRUTH)} .*on_missing"):
        rating_errors(some, TRUTH)
    with pytest.warns(recae.RecaeWarning, match=rf"\b5 of {len(TRUTH)} "):
        found = rating_errors(some, TRUTH, on_missing="drop")
    assert found == pytest.approx(rating_errors(some, TRUTH.iloc[5:]))
    with pytest.raises(DataError, match=str(len(TRUTH))):
        rating_errors(GUESS.assign(user_id=GUESS["user_id"] + 1000), TRUTH, on_missing="drop")


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (pd.concat([GUESS, GUESS.iloc[3:5]]), rf"\b2 .*{re.escape(str(GUESS.iloc[3, 0]))}"),
        (GUESS.assign(prediction=np.nan), "nan"),
        (GUESS.assign(prediction="x"), "prediction"),
        (GUESS.drop(columns="prediction"), "prediction"),
        (GUESS.drop(columns="user_id"), "user_id"),
        (GUESS.assign(user_id=GUESS["user_id"].astype(str)), "text"),
        (None, "NoneType"),
    ],
)
def test_tables_that_cannot_be_used(table: object, match: str) -> None:
    with pytest.raises(DataError, match=match):
        rating_errors(table, TRUTH)
    with pytest.raises(ConfigError):
        rating_errors(table, TRUTH, on_missing="ignore")


def test_scores_that_are_no_ratings_have_no_error() -> None:
    split = recae.data.splits.holdout_pairs(TRUTH, 0.3)
    for model in (recae.EASE(), recae.Popularity()):
        with pytest.raises(ConfigError, match=f"{type(model).__name__} .*AutoRec") as caught:
            recae.evaluation.rmse(model.fit(split.train), split.validation)
        assert caught.value.parameter == "model"
    for wrong in (None, 3, recae.evaluation.Scorer(len, [1])):
        with pytest.raises(DataError, match=type(wrong).__name__):
            recae.evaluation.rmse(wrong, split.validation)  # type: ignore[arg-type]


def test_a_truth_without_ratings_is_refused() -> None:
    plain = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    with pytest.raises(DataError, match="rating") as caught:
        rating_errors(plain.assign(prediction=[3.0, 4.0]), plain)
    assert caught.value.parameter == "truth"
