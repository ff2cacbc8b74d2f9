"""Values of another type in every argument of the judges: an error of ours, never a raw one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae.data import splits
from recae.errors import RecaeError
from recae.evaluation import by_history, by_popularity, rank_biased_overlap, rating_errors, rmse
from recae.evaluation.comparison import detectable_difference, variance, verdicts
from recae.report import Entry, comparison, html, load_entries, markdown

RNG = np.random.default_rng(0)
LOG = pd.DataFrame({"user_id": RNG.integers(0, 20, 200), "item_id": RNG.integers(0, 15, 200)})
SPLIT = recae.RandomSplit(0.2, 0.2).split(LOG, seed=1)
FOLD, TRAIN = SPLIT.test, SPLIT.train
assert FOLD is not None
MODEL = recae.Popularity().fit(TRAIN)
REPORT = recae.evaluate(MODEL, FOLD, ["ndcg@5", "coverage@5"])
WRONG = [
    *(None, 3, 0.5, "x", b"x", [], [1], {}, {"a": 1}, True, float("nan"), object(), len),
    *(np.ones(3), np.ones((2, 2)), pd.DataFrame(), sp.csr_matrix((2, 2)), recae.EASE, MODEL),
    *(SPLIT, FOLD, TRAIN, REPORT, datetime.date(2020, 1, 1)),
]
PAIR = {"a": REPORT, "b": REPORT}
ENTRY = Entry("a", [REPORT])

DOORS: dict[str, Callable[[Any], object]] = {
    "model": lambda x: recae.evaluate(x, FOLD, ["ndcg@5"]),
    "fold": lambda x: recae.evaluate(MODEL, x, ["ndcg@5"]),
    "metrics": lambda x: recae.evaluate(MODEL, FOLD, x),
    "one metric": lambda x: recae.evaluate(MODEL, FOLD, [x]),
    "vectors": lambda x: recae.evaluate(MODEL, FOLD, ["diversity@5"], item_vectors=x),
    "categories": lambda x: recae.evaluate(MODEL, FOLD, ["miscalibration@5"], item_categories=x),
    "reports": lambda x: recae.compare(x, "ndcg@5"),
    "one report": lambda x: recae.compare({"a": REPORT, "b": x}, "ndcg@5"),
    "metric": lambda x: recae.compare(PAIR, x),
    "baseline": lambda x: recae.compare(PAIR, "ndcg@5", baseline=x),
    "level": lambda x: recae.compare(PAIR, "ndcg@5", level=x),
    "verdicts": verdicts,
    "variance": lambda x: variance(x, "ndcg@5"),
    "detectable": lambda x: detectable_difference(REPORT, x, metric="ndcg@5"),
    "history": lambda x: by_history(x, "ndcg@5"),
    "history metric": lambda x: by_history(REPORT, x),
    "bins": lambda x: by_history(REPORT, "ndcg@5", x),
    "popularity": lambda x: by_popularity(x, 5),
    "popularity k": lambda x: by_popularity(REPORT, x),
    "rmse": lambda x: rmse(x, FOLD),
    "overlap": lambda x: rank_biased_overlap(x, x),
    "predictions": lambda x: rating_errors(x, LOG),
    "item": lambda x: REPORT[x],
    "reports of an entry": lambda x: Entry("a", x),
    "fit_seconds": lambda x: markdown([Entry("a", [REPORT], fit_seconds=x)]),
    "entries": markdown,
    "shown": lambda x: markdown([ENTRY], x),
    "notes": lambda x: markdown([ENTRY], notes=x),
    "folder": load_entries,
    "comparison": comparison,
    "check_split": recae.check_split,
    "generalization": lambda x: recae.check_split(SPLIT, generalization=x),
    "history of a fold": lambda x: recae.Fold(x, TRAIN),
    "train of a split": lambda x: splits.Split(x, None, None),
    "test of a split": lambda x: splits.Split(TRAIN, None, x),
    "test table": lambda x: recae.fixed_split(TRAIN, test=x),
    "holdout": splits.holdout_pairs,
    "template": lambda x: recae.tune(x, TRAIN, SPLIT.validation, trials=1),
    "validation": lambda x: recae.tune(recae.EASE(), TRAIN, x, trials=1),
    "tuned metric": lambda x: recae.tune(recae.EASE(), TRAIN, SPLIT.validation, x, trials=1),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_a_value_of_another_type_is_our_error(door: str) -> None:
    refused = 0
    for value in WRONG:
        try:
            DOORS[door](value)
        except RecaeError:
            refused += 1
    assert refused >= 5  # some doors take many kinds of value


def test_a_page_is_not_begun(tmp_path: Path) -> None:
    for wrong in (None, 3, [REPORT], ENTRY):
        with pytest.raises(recae.ConfigError):
            html(wrong, tmp_path / "page.html")  # type: ignore[arg-type]
    assert not [*tmp_path.iterdir()]
