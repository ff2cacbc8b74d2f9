"""A model that was fitted on the targets is noticed, where that is known."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import RecaeWarning
from recae.evaluation import Scorer


def plays(seed: int = 0, text: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"user_id": rng.integers(0, 50, 600), "item_id": rng.integers(0, 40, 600)})
    frame = frame.drop_duplicates()
    return frame.astype(str) if text else frame


DATA = plays()
SPLIT = recae.RandomSplit(0.2, 0.2).split(DATA, seed=1)
TARGETS = set(map(tuple, SPLIT.test.target.to_frame()[["user_id", "item_id"]].to_numpy()))


def seen(model: recae.Recommender | Scorer | recae.Lists, fold: recae.Fold) -> int | None:
    """The number of targets that a warning counts, None without one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recae.evaluate(model, fold, ["recall@5"])
    ours = [str(w.message) for w in caught if issubclass(w.category, RecaeWarning)]
    assert len(ours) <= 1
    return int(re.findall(r"[\d,]+", ours[0])[0].replace(",", "")) if ours else None


def test_the_targets_that_were_fitted_on_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recae.evaluation.seen.ROWS", 7)  # several blocks of users
    assert seen(recae.Popularity().fit(DATA), SPLIT.test) == len(TARGETS)
    half = DATA.sample(frac=0.8, random_state=0)
    known = len(TARGETS & set(map(tuple, half.to_numpy())))
    assert known > 0.5 * len(TARGETS)
    turned = half.iloc[::-1].assign(item_id=half["item_id"].iloc[::-1])
    assert seen(recae.Popularity().fit(turned), SPLIT.test) == known


def test_honest_fits_are_silent() -> None:
    model = recae.Popularity().fit(SPLIT.train)
    assert seen(model, SPLIT.test) is None and seen(model, SPLIT.validation) is None
    held_out = recae.StrongGeneralization(held_out=0.2).split(DATA)
    assert seen(recae.Popularity().fit(held_out.train), held_out.test) is None
    other = recae.Popularity().fit(plays(text=True).assign(item_id=plays()["item_id"]))
    assert seen(other, SPLIT.test) is None  # users 7 and "7" need not be the same


def test_a_model_without_its_history_is_not_known(tmp_path) -> None:
    model = recae.Popularity().fit(DATA)
    assert seen(recae.load(model.save(tmp_path / "model")), SPLIT.test) is None
    kept = recae.load(model.save(tmp_path / "kept", with_history=True))
    assert seen(kept, SPLIT.test) == len(TARGETS)


def test_a_blend_is_known_by_its_members() -> None:
    members = [recae.Popularity().fit(DATA), recae.Popularity(weights="neither").fit(SPLIT.train)]
    assert seen(recae.Ensemble.of(members), SPLIT.test) == len(TARGETS)
    assert seen(recae.Ensemble.of(members[1:]), SPLIT.test) is None


def test_a_search_on_its_own_validation_is_noticed() -> None:
    model = recae.MultDAE(latent=2, hidden=(), epochs=1, metric="ndcg@10")
    with pytest.warns(RecaeWarning, match=rf"\b{SPLIT.validation.target.nnz} "):
        recae.tune(model, DATA, SPLIT.validation, "ndcg@10", trials=1, space={"lr": [0.1]})


def test_other_systems_are_known_by_their_train() -> None:
    items = SPLIT.train.items

    def score(histories: sp.csr_matrix) -> np.ndarray:
        return np.ones(histories.shape)

    assert seen(Scorer(score, items), SPLIT.test) is None
    assert seen(Scorer(score, items, train=SPLIT.train), SPLIT.test) is None
    assert seen(Scorer(score, items, train=DATA), SPLIT.test) == len(TARGETS)
