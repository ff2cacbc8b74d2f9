"""Examples of other libraries: their own metrics agree with ours, and their traps are handled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.peers import peers_implicit, peers_lenskit
from recae import DataError, Interactions


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 users of two tastes instead of the bundled set: the examples are to be quick here."""
    rng = np.random.default_rng(0)
    rows = [
        (user, 40 * (user % 2) + item, float(rng.integers(3, 6)))
        for user in range(100)
        for item in rng.permutation(60)[:20]
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])
    dataset = SimpleNamespace(interactions=Interactions.from_frame(frame))
    monkeypatch.setattr(recae, "load_dataset", lambda: dataset)


@pytest.mark.usefixtures("small")
def test_implicit_measures_the_same_ndcg(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers_implicit.main(["--k", "10"]) == 0
    said = capsys.readouterr().out
    for name in ("ALS", "BPR"):
        line = next(line for line in said.splitlines() if line.startswith(f"{name}: ndcg@10"))
        here, there = line.split()[2], line.split()[4]
        assert 0.05 < float(here) < 1 and here == there


def test_the_padding_of_implicit_is_no_recommendation() -> None:
    """Users who have all items but two get two: implicit fills the rest with what they have."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(8) for item in rng.permutation(10)[: 4 + user % 5]]
    data = Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]))
    split = recae.data.splits.holdout_pairs(data, 0.2)
    fold = split.validation
    assert fold is not None
    as_test = recae.data.splits.Split(split.train, None, fold)
    table, _ = peers_implicit.lists_of(peers_implicit.peers()["ALS"], as_test, k=8)
    left = data.n_items - np.diff(fold.history.matrix.indptr)
    assert (left < 8).any()
    expected = dict(zip(fold.history.users.ids.tolist(), np.minimum(left, 8), strict=True))
    assert table.groupby("user_id").size().to_dict() == expected
    recae.evaluate(recae.Lists(table), fold, "recall@8")  # nothing to warn of

    # As it comes, with the padding, it is refused.
    scores = np.zeros((fold.history.n_users, 8), dtype=np.float32)
    items = np.tile(np.arange(8), (fold.history.n_users, 1))
    padded = peers_implicit.as_table(fold.history, items, scores)
    with pytest.raises(DataError, match="recommendations .*mask"):
        recae.evaluate(recae.Lists(padded), fold, "recall@8")


@pytest.mark.usefixtures("small")
def test_lists_of_lenskit_are_measured_like_it_measures_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LensKit is not installed here: lists of another make stand in, with its columns."""
    assert peers_lenskit.main([str(tmp_path)]) == 2
    assert "lenskit_lists.py" in capsys.readouterr().out
    train, history, target = (
        pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("train", "history", "target")
    )
    assert not set(history["user_id"]) & set(train["user_id"])
    k = peers_lenskit.K
    popular = train["item_id"].value_counts(sort=True).index
    rows, values = [], []
    for user, theirs in history.groupby("user_id"):
        top = [item for item in popular if item not in set(theirs["item_id"])][:k]
        wanted = set(target.loc[target["user_id"] == user, "item_id"])
        rows += [(user, item, float(k - place), place + 1) for place, item in enumerate(top)]
        hits = [item in wanted for item in top]
        ideal = sum(1 / np.log2(rank + 2) for rank in range(min(len(wanted), k)))
        gain = sum(hit / np.log2(rank + 2) for rank, hit in enumerate(hits)) / ideal
        values.append((user, gain, gain, sum(hits) / min(len(wanted), k)))
    lists = pd.DataFrame(rows, columns=["user_id", "item_id", "score", "rank"])
    names = ["user_id", f"NDCG@{k}", f"NDCG@{k} offset", f"Recall@{k}"]
    measured = pd.DataFrame(values, columns=names)
    for name in peers_lenskit.LISTS:
        lists.to_parquet(tmp_path / f"{name}.parquet", index=False)
        measured.to_parquet(tmp_path / f"{name}.metrics.parquet", index=False)
    assert peers_lenskit.main([str(tmp_path)]) == 0
    measured[f"Recall@{k}"] += 0.001
    measured.to_parquet(tmp_path / "ease.metrics.parquet", index=False)
    assert peers_lenskit.main([str(tmp_path)]) == 1
