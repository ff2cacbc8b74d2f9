"""Exports that take over the lists of unchanged users, against exports of everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import recae
from recae import ConfigError, DataError, Interactions
from recae.errors import StorageError
from recae.recommend.export import run

MODELS = {
    "ease": recae.EASE(l2=3.0),
    "weighted ease": recae.EASE(l2=3.0, weights="both"),
    "weighted als": recae.ALS(latent=4, weights="target"),
    "item-knn": recae.ItemKNN(neighbours=5),
    "user-knn": recae.UserKNN(neighbours=7),
    "mult-vae": recae.MultVAE(latent=4, hidden=(8,), epochs=2),
    "ensemble": recae.Ensemble(members=("EASE(l2=2.0)", "Popularity()")),
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PART_USERS", 10)


@pytest.fixture(scope="module")
def days(int_frame: pd.DataFrame) -> tuple[Interactions, Interactions]:
    """Two days. On the second, 107 and 121 have left, 90 and 500 are new, 128 has an item less, 135
    has one more, and an item of 142 has another weight."""
    frame = int_frame[~int_frame["user_id"].isin([107, 121])].copy()
    frame = frame.drop(frame.index[frame["user_id"] == 128][0])
    frame.loc[frame.index[frame["user_id"] == 142][0], "weight"] += 1.0
    added = pd.DataFrame({"user_id": [90, 90, 500, 135], "item_id": [900, 897, 894, 900]})
    frame = pd.concat([frame, added.assign(weight=2.5, timestamp=1)])
    return Interactions.from_frame(int_frame), Interactions.from_frame(frame)


@pytest.fixture(scope="module")
def ease(days: tuple[Interactions, Interactions]) -> recae.EASE:
    return recae.EASE(l2=3.0).fit(days[0].binarised())


@pytest.fixture
def old(ease: recae.EASE, days, tmp_path: Path) -> Path:
    """Yesterday's lists of 3."""
    ease.export(tmp_path / "old", days[0], k=3)
    return tmp_path / "old"


def ranked(monkeypatch: pytest.MonkeyPatch, model: Any, *places: Any, **options: Any) -> int:
    """Exports; how many histories were scored."""
    score, rows = model._score_rows, []

    def counted(matrix: Any) -> Any:
        rows.append(matrix.shape[0])
        return score(matrix)

    with monkeypatch.context() as patch:
        patch.setattr(model, "_score_rows", counted)
        model.export(*places, **options)
    return sum(rows)


def assert_same_rows(found: Path, expected: Path) -> None:
    one, two = pd.read_parquet(found), pd.read_parquet(expected)
    assert [*one] == [*two] and len(one) > 0
    for column in set(one) - {"score"}:
        assert one[column].tolist() == two[column].tolist(), column
    np.testing.assert_allclose(one["score"], two["score"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_rows_are_those_of_a_full_export(days, tmp_path, monkeypatch, name) -> None:
    weighted = name.startswith("weighted")
    model = MODELS[name].fit(days[0] if weighted else days[0].binarised(), seed=1)
    old, new, full = (tmp_path / place for place in ("old", "new", "full"))
    model.export(old, days[0], k=4, batch_size=5)
    options = {"history": days[1], "k": 4, "titles": {900: "Alien"}}
    model.export(full, **options)
    # 90, 500, 128 and 135 are ranked, and 142 where weights count.
    assert ranked(monkeypatch, model, new, since=old, **options) == 4 + weighted
    assert_same_rows(new, full)
    recae.open_export(new).verify()
    digests = [pq.read_table(place / "_users.digests").to_pandas() for place in (new, full)]
    pd.testing.assert_frame_equal(*digests)
    # From that export, a file; nobody has changed.
    file = tmp_path / "top.parquet"
    assert ranked(monkeypatch, model, file, since=recae.open_export(new), **options) == 0
    assert_same_rows(file, new)


@pytest.mark.parametrize("users", [[100, 90, 500, 345], None, [345, 100, 100, 114], []])
def test_other_users_in_any_order(ease, days, old, tmp_path, users) -> None:
    ease.export(tmp_path / "full", days[1], k=3, users=users)
    ease.export(tmp_path / "new", days[1], k=3, users=users, since=old)
    one, two = (pd.read_parquet(tmp_path / name) for name in ("new", "full"))
    assert one["user_id"].tolist() == two["user_id"].tolist()
    assert one["item_id"].tolist() == two["item_id"].tolist()


def test_single_users_may_get_other_exclusions(ease, days, old, tmp_path, monkeypatch) -> None:
    best = pd.read_parquet(old).query("rank == 1").set_index("user_id")["item_id"]
    options = {"history": days[0], "k": 3}
    hidden = {"exclude_items": {114: [best[114]]}}
    places = tmp_path / "new", tmp_path / "full"
    assert ranked(monkeypatch, ease, places[0], since=old, **options, **hidden) == 1
    ease.export(places[1], **options, **hidden)
    assert_same_rows(*places)
    rules = recae.Rules(allow={121: [900, 897, 858, 861]})
    options["exclude_seen"] = False
    old, new, full = (tmp_path / name for name in ("open", "limited", "both"))
    ease.export(old, **options)
    with pytest.raises(ConfigError, match=r"options\.rules"):
        ease.export(new, since=old, rules=rules, **options)
    ease.export(old, rules=recae.Rules(allow={}), overwrite=True, **options)
    assert ranked(monkeypatch, ease, new, since=old, rules=rules, **options) == 1
    ease.export(full, rules=rules, **options)
    assert_same_rows(new, full)


def test_strangers(ease, days, tmp_path, monkeypatch) -> None:
    options = {"history": days[0], "k": 3, "users": [1, 100, 2], "on_unknown": "popular"}
    old, new = tmp_path / "old", tmp_path / "new"
    ease.export(old, **options)
    options["users"] = [1, 3, 100]
    assert ranked(monkeypatch, ease, new, since=old, **options) == 1
    ease.export(tmp_path / "full", **options)
    assert_same_rows(new, tmp_path / "full")


def test_what_rules_ignore_is_counted_once(ease, days, tmp_path) -> None:
    rules = recae.Rules(include={900: 9, 897: 1})
    with pytest.warns(recae.RecaeWarning, match=r"beyond_k 1\b"):
        ease.export(tmp_path / "lists", days[0], k=3, rules=rules, exclude_seen=False)


def test_exploration_is_drawn_once(ease, days, tmp_path, monkeypatch) -> None:
    rules = recae.Rules(explore=0.5, pool=8, seed=3)
    old, new, full = (tmp_path / name for name in ("old", "new", "full"))
    options = {"k": 3, "rules": rules, "exclude_seen": False}
    ease.export(old, days[0], **options)
    assert ranked(monkeypatch, ease, new, days[1], since=old, **options) == 4
    ease.export(full, days[1], **options)
    assert_same_rows(new, full)


def table(dates: str) -> recae.ItemTable:
    frame = pd.DataFrame({"item_id": 900 - 3 * np.arange(16), "date": "2020-01-01"})
    frame.loc[0, "date"] = dates
    return recae.ItemTable(frame)


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"k": 4}, "options.k"),
        ({"exclude_seen": False}, "options.exclude_seen"),
        ({"items": [900, 897, 894, 858]}, "options.items"),
        ({"exclude_items": [900]}, "options.items"),
        ({"on_unknown": "popular"}, "options.on_unknown"),
        ({"rules": recae.Rules(boosts={900: 2.0})}, "options.rules"),
        ({"rules": recae.Rules(explore=0.1)}, "options.rules"),
    ],
)
def test_another_job_is_refused(ease, days, old, tmp_path, options, differs) -> None:
    with pytest.raises(ConfigError, match=rf"other: {differs}\b") as error:
        ease.export(tmp_path / "new", days[1], **({"k": 3} | options), since=old)
    assert error.value.parameter == "since" and not (tmp_path / "new").exists()


def test_the_date_of_another_day_is_refused(ease, days, tmp_path) -> None:
    how = {"half_life": 30.0, "table": table("2020-02-01")}
    today, tomorrow = (recae.Rules(now=now, **how) for now in ("2020-03-01", "2020-03-02"))
    options = {"history": days[0], "k": 3, "exclude_seen": False}
    ease.export(tmp_path / "old", rules=today, **options)
    ease.export(tmp_path / "new", rules=today, since=tmp_path / "old", **options)
    with pytest.raises(ConfigError, match=r"options\.rules"):
        ease.export(tmp_path / "x", rules=tomorrow, since=tmp_path / "old", **options)


def test_another_model_is_refused(ease, days, old, tmp_path) -> None:
    for model, differs in (
        (recae.EASE(l2=4.0).fit(days[0].binarised()), r"model\.fingerprint"),
        (recae.ItemKNN().fit(days[0].binarised()), r"model\.name"),
    ):
        with pytest.raises(ConfigError, match=differs):
            model.export(tmp_path / "new", days[0], k=3, since=old)


def test_what_is_no_export_to_start_from(ease, days, old, tmp_path) -> None:
    new = tmp_path / "new"
    ease.export(tmp_path / "top.parquet", days[0], k=3)
    ease.export(tmp_path / "twice", days[0], k=3, users=[100, 107, 100])
    for since in ("top.parquet", "twice"):
        with pytest.raises(ConfigError, match=since):
            ease.export(new, days[0], k=3, since=tmp_path / since)
    with pytest.raises(DataError, match="absent"):
        ease.export(new, days[0], k=3, since=tmp_path / "absent")
    with pytest.raises(StorageError, match="old"):
        ease.export(old, days[0], k=3, since=old, overwrite=True)
    part = old / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-9] + b"?" * 9)
    with pytest.raises(DataError, match=r"part-00001\.parquet"):
        ease.export(new, days[0], k=3, since=old)
    (old / "_users.digests").write_bytes(b"PAR1")
    for call in (recae.open_export(old).verify, lambda: ease.export(new, days[0], since=old, k=3)):
        with pytest.raises(DataError, match=r"part-00001|_users\.digests"):
            call()
