"""`python -m evaluation members`: what a member adds is measured on other users."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from evaluation.suites import members
from recae.metrics import parse_metric
from recae.models._blend import Candidates

USERS, ITEMS = 300, 30


@pytest.fixture(scope="module")
def blends() -> members.Blends:
    """Users with one relevant item of 30. The first half by length is ranked by "short" well, the
    other by "long", and "noise" knows nothing."""
    rng = np.random.default_rng(0)
    target = np.zeros((USERS, ITEMS), dtype=np.float32)
    target[np.arange(USERS), rng.integers(0, ITEMS, USERS)] = 1
    scores = rng.normal(size=(3, USERS, ITEMS)).astype(np.float32)
    lengths = np.arange(USERS)
    scores[0] += 6 * target * (lengths < USERS // 3)[:, None]
    scores[1] += 6 * target * (lengths >= USERS // 3)[:, None]
    items = torch.arange(ITEMS).repeat(USERS, 1)
    candidates = Candidates(items, torch.from_numpy(scores), sp.csr_matrix(target))
    return members.Blends(["short", "long", "noise"], candidates, lengths, parse_metric("hit@1"))


def test_a_member_that_knows_something_gains_and_noise_does_not(blends, capsys) -> None:
    rows = {row["name"]: row for row in members.rows_of(blends, ["short", "long"], ["noise"])}
    assert rows["short"]["gain"] > 3 * rows["short"]["error"] > 0
    assert rows["long"]["gain"] > 3 * rows["long"]["error"] > 0
    assert rows["noise, added"]["gain"] <= 2 * rows["noise, added"]["error"]
    hits = blends.of(["long"]).per_user(np.ones(1), blends.metric)
    assert rows["long"]["value"] == pytest.approx(hits.mean())
    assert rows["by length"]["gain"] > 0  # each third of the users has one good member
    assert "by length" in capsys.readouterr().out


def test_models_have_the_kept_settings_and_are_fitted_once(tmp_path, monkeypatch) -> None:
    data = recae.load_dataset("ml-latest-small").interactions.filter(min_per_item=50)
    split = recae.RandomSplit(validation=0.2).split(data)
    kept = SimpleNamespace(name="ease", reports=[SimpleNamespace(model="EASE(l2=70.0)")])
    monkeypatch.setattr(members, "load_entries", lambda folder: [kept])
    (first,) = members.fitted(["ease"], "bundled", split, tmp_path / "new" / "folder")
    expected = recae.EASE(l2=70.0).fit(split.train.binarised())
    np.testing.assert_array_equal(first.score(split.train), expected.score(split.train))
    monkeypatch.setattr(recae.EASE, "fit", None)
    (again,) = members.fitted(["ease"], "bundled", split, tmp_path / "new" / "folder")
    assert again.fingerprint() == first.fingerprint()


def test_users_without_a_target_are_left_out_of_the_sample() -> None:
    history = recae.Interactions.from_csr(sp.identity(6, format="csr", dtype=np.float32))
    target = sp.csr_matrix(
        np.roll(np.eye(6, dtype=np.float32), 1, axis=1) * (np.arange(6) > 1)[:, None]
    )
    fold = recae.Fold(history, recae.Interactions.from_csr(target))
    assert members.sample(fold, 10).target.n_users == 4
    assert members.sample(fold, 3).history.n_users == 3
