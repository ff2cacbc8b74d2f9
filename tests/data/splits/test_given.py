"""Every splitter takes what a model takes: Interactions, tables, sparse matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae

RNG = np.random.default_rng(3)
DENSE = RNG.random((30, 12)) < 0.6
USERS, ITEMS = DENSE.nonzero()
FRAME = pd.DataFrame(
    {"user_id": USERS, "item_id": ITEMS, "timestamp": RNG.integers(0, 50, len(USERS))}
)
SPLITS: dict[str, Callable[[Any], recae.data.splits.Split]] = {
    "random": lambda data: recae.RandomSplit().split(data, seed=1),
    "last": lambda data: recae.LeaveLastOut().split(data, seed=1),
    "time": lambda data: recae.GlobalTime().split(data, seed=1),
    "folds": lambda data: recae.UserKFold(folds=3).split(data, seed=1)[0],
    "strong": lambda data: recae.StrongGeneralization(held_out=3).split(data, seed=1),
    "pairs": lambda data: recae.data.splits.holdout_pairs(data, 0.3, seed=1),
    "fixed": lambda data: recae.fixed_split(data, test=data, overlap="keep"),
}


def prints(split: recae.data.splits.Split) -> list[str | None]:
    folds = (split.validation, split.test)
    return [
        split.train.fingerprint(),
        *(None if fold is None else fold.fingerprint() for fold in folds),
    ]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.filterwarnings("ignore:.*also in train:recae.RecaeWarning")
def test_a_frame_is_split_as_its_interactions_are(name: str) -> None:
    expected = prints(SPLITS[name](recae.Interactions.from_frame(FRAME)))
    assert prints(SPLITS[name](FRAME)) == expected
    assert prints(SPLITS[name](FRAME.sample(frac=1, random_state=2))) == expected


@pytest.mark.parametrize("name", [name for name in SPLITS if name not in ("last", "time")])
@pytest.mark.filterwarnings("ignore:.*also in train:recae.RecaeWarning")
def test_a_matrix_is_split_as_its_interactions_are(name: str) -> None:
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    assert prints(SPLITS[name](matrix)) == prints(SPLITS[name](recae.Interactions.from_csr(matrix)))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("odd", ["plays.csv", None, DENSE])
def test_other_things_are_named(name: str, odd: object) -> None:
    with pytest.raises(recae.DataError, match="expected Interactions"):
        SPLITS[name](odd)
