"""Lists of another system are measured as if our model had ranked them, and mistakes are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import recae
from recae import ConfigError, DataError, Fold, Interactions, Lists, RecaeWarning, Report

METRICS = [
    f"{name}@{k}"
    for name in (
        *("ndcg", "recall", "calibrated_recall", "precision", "hit_rate", "mrr", "map", "f1"),
        *("truncated_map", "r_precision", "rbp", "dcg", "graded_ndcg"),
        *("exponential_dcg", "exponential_ndcg"),
    )
    for k in (1, 5)
] + ["novelty@5", "popularity@3", "coverage@5", "gini@5"]


@pytest.fixture(scope="module")
def split(text_data: Interactions) -> recae.data.splits.Split:
    return recae.RandomSplit(validation=0.0001, test=0.3).split(text_data, seed=1)


@pytest.fixture(scope="module")
def fold(split: recae.data.splits.Split) -> Fold:
    assert split.test is not None
    return split.test


@pytest.fixture(scope="module")
def model(split: recae.data.splits.Split) -> recae.Recommender:
    return recae.EASE(l2=3.0).fit(split.train)


@pytest.fixture(scope="module")
def top(model: recae.Recommender, fold: Fold) -> pd.DataFrame:
    return model.recommend(k=5, history=fold.history)


def assert_same(theirs: Report, ours: Report) -> None:
    pd.testing.assert_frame_equal(theirs.per_user, ours.per_user)
    pd.testing.assert_frame_equal(theirs.users, ours.users)
    pd.testing.assert_frame_equal(theirs.items, ours.items)
    assert theirs.catalogue == ours.catalogue
    assert theirs.interval == ours.interval
    for part in ("users", "history", "target", "mask"):
        assert theirs.provenance[part] == ours.provenance[part]


@pytest.mark.parametrize("order", ["rank", "score", "both"])
def test_lists_of_a_model_of_ours_are_measured_like_the_model(
    order: str,
    split: recae.data.splits.Split,
    fold: Fold,
    model: recae.Recommender,
    top: pd.DataFrame,
) -> None:
    drop = {"rank": ["score"], "score": ["rank"], "both": []}[order]
    lists = Lists(top.drop(columns=drop).sample(frac=1, random_state=3), train=split.train)
    report = recae.evaluate(lists, fold, METRICS)
    assert_same(report, recae.evaluate(model, fold, METRICS))
    assert report.model == "Lists('their model')"
    assert set(report.provenance["lists"].values()) == {0}
    groups = recae.evaluation.by_popularity(report, k=5, groups=2)
    pd.testing.assert_frame_equal(
        groups, recae.evaluation.by_popularity(recae.evaluate(model, fold, METRICS), k=5, groups=2)
    )


def test_metrics_of_variety_too(
    split: recae.data.splits.Split, fold: Fold, model: recae.Recommender, top: pd.DataFrame
) -> None:
    vectors = recae.PureSVD(latent=3).fit(split.train)
    metrics = ["diversity@5", "miscalibration@5", "popularity_lift@4"]
    names = {str(metric).partition("@")[0] for metric in METRICS + metrics}
    names |= {"auc", "percentile_rank"}  # which need the scores of all items
    with pytest.raises(ConfigError) as error:
        recae.evaluate(model, fold, "nothing@5")
    assert str(error.value).partition("Known: ")[2].split(", ") == sorted(names)  # none left out
    lists = Lists(top, train=split.train)
    theirs = recae.evaluate(lists, fold, metrics, item_vectors=vectors)
    assert_same(theirs, recae.evaluate(model, fold, metrics, item_vectors=vectors))
    with pytest.raises(ConfigError, match="vectors"):
        recae.evaluate(lists, fold, "diversity@5")
    with pytest.raises(ConfigError, match="popularity_lift@4 needs"):
        recae.evaluate(Lists(top), fold, "popularity_lift@4")


def test_tied_scores_go_by_the_order_of_the_items(
    split: recae.data.splits.Split, fold: Fold
) -> None:
    popular = recae.Popularity().fit(split.train)  # whose scores tie often
    rows = popular.recommend(k=16, history=fold.history).drop(columns="rank")
    theirs = recae.evaluate(Lists(rows.iloc[::-1], train=split.train), fold, METRICS)
    assert_same(theirs, recae.evaluate(popular, fold, METRICS))


def test_every_kind_of_table(
    split: recae.data.splits.Split,
    fold: Fold,
    model: recae.Recommender,
    top: pd.DataFrame,
    tmp_path: Path,
) -> None:
    model.export(tmp_path / "ours.parquet", fold.history, k=5)
    top.to_csv(tmp_path / "theirs.csv", index=False)
    top[:50].to_csv(tmp_path / "part1.tsv", sep="\t", index=False)
    top[50:].to_csv(tmp_path / "part2.tsv", sep="\t", index=False)
    expected = recae.evaluate(model, fold, ["ndcg@5"])
    other = top.rename(columns={"user_id": "who", "item_id": "what", "rank": "place"})
    named: dict[str, Any] = {"user": "who", "item": "what", "rank": "place"}
    given: list[tuple[Any, dict[str, Any]]] = [
        (tmp_path / "ours.parquet", {}),
        (str(tmp_path / "theirs.csv"), {}),
        ([tmp_path / "part1.tsv", tmp_path / "part2.tsv"], {}),
        (polars.from_pandas(top), {}),
        (pa.table({name: top[name].tolist() for name in top}), {}),
        (other, named),
    ]
    for table, options in given:
        report = recae.evaluate(Lists(table, **options), fold, ["ndcg@5"])
        pd.testing.assert_frame_equal(report.per_user, expected.per_user)


def test_integer_ids_are_matched_by_id(int_data: Interactions) -> None:
    split = recae.data.splits.holdout_pairs(int_data, 0.3)
    assert split.validation is not None
    model = recae.EASE().fit(split.train)
    rows = model.recommend(k=4, history=split.validation.history)
    theirs = recae.evaluate(Lists(rows[::-1]), split.validation, ["ndcg@4"])
    assert theirs.mean == recae.evaluate(model, split.validation, ["ndcg@4"]).mean


def test_without_training_users_there_is_no_novelty(fold: Fold, top: pd.DataFrame) -> None:
    report = recae.evaluate(Lists(top), fold, ["ndcg@5", "coverage@5"])
    assert "training_users" not in report.items and "hits@5" in report.items
    with pytest.raises(ConfigError, match="novelty@5 .*training users"):
        recae.evaluate(Lists(top), fold, ["novelty@5"])


# Three users over items 0..5: ann knows 0 and wants 1, bob knows 1 and wants 2 and 3, cat wants 5.
def interactions(*pairs: tuple[str, int]) -> Interactions:
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    return Interactions.from_frame(
        frame,
        users=recae.data.IdMap(["ann", "bob", "cat"], "user"),
        items=recae.data.IdMap(range(6), "item"),
    )


SMALL = Fold(
    interactions(("ann", 0), ("bob", 1), ("cat", 4)),
    interactions(("ann", 1), ("bob", 2), ("bob", 3), ("cat", 5)),
)


def rows(**lists: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(user, item, rank) for user, some in lists.items() for rank, item in enumerate(some, 1)],
        columns=["user_id", "item_id", "rank"],
    )


GOOD = rows(ann=[2, 1], bob=[2, 3], cat=[0, 1])


def test_by_hand() -> None:
    report = recae.evaluate(Lists(GOOD), SMALL, ["recall@2", "mrr@2"])
    assert report.per_user["recall@2"].tolist() == [1, 1, 0]
    assert report.per_user["mrr@2"].tolist() == [0.5, 1, 0]


def test_a_user_without_a_list_is_refused_or_counted() -> None:
    some = GOOD[GOOD["user_id"] != "bob"]
    with pytest.raises(DataError, match="1 of 3 users .*'bob'; on_missing='empty'"):
        recae.evaluate(Lists(some), SMALL, "recall@2")
    with pytest.warns(RecaeWarning, match="no list, .*'bob': .*misses"):
        report = recae.evaluate(Lists(some, on_missing="empty"), SMALL, "recall@2")
    assert report.per_user["recall@2"].tolist() == [1, 0, 0]
    assert report.provenance["lists"]["users_without_list"] == 1
    assert report.provenance["params"] == {"on_missing": "empty", "on_masked": "raise"}


def test_short_lists_are_counted() -> None:
    short = rows(ann=[2], bob=[2, 3], cat=[5])
    with pytest.warns(RecaeWarning, match="2 of 3 users .*fewer than 2.*'ann' with 1"):
        report = recae.evaluate(Lists(short), SMALL, ["recall@1", "recall@2"])
    assert report.per_user["recall@2"].tolist() == [0, 1, 1]
    # Nobody can get more than the five items that are not known: no warning for a k of ten then.
    whole = rows(ann=[1, 2, 3, 4, 5], bob=[0, 2, 3, 4, 5], cat=[0, 1, 2, 3, 5])
    assert recae.evaluate(Lists(whole), SMALL, "recall@10")["recall@10"] == 1


def test_what_is_masked_is_refused_or_dropped() -> None:
    seen = rows(ann=[0, 1, 2], bob=[2, 1, 3], cat=[4, 0, 5])
    with pytest.raises(
        DataError, match="3 of 9 recommendations.*item 0 .*user 'ann'; on_masked='drop'"
    ):
        recae.evaluate(Lists(seen), SMALL, "recall@2")
    with pytest.warns(RecaeWarning, match="3 of 9 .*dropped"):
        report = recae.evaluate(Lists(seen, on_masked="drop"), SMALL, ["recall@1", "recall@2"])
    assert report.per_user["recall@1"].tolist() == [1, 0.5, 0]
    assert report.per_user["recall@2"].tolist() == [1, 1, 1]
    assert report.provenance["lists"]["masked_items"] == 3
    nothing_else = rows(ann=[0], bob=[2, 3], cat=[0, 5])
    with pytest.warns(RecaeWarning) as caught:
        recae.evaluate(Lists(nothing_else, on_masked="drop"), SMALL, "recall@2")
    assert any(re.search("1 of 3 users .*fewer than 2", str(w.message)) for w in caught)
    with pytest.warns(RecaeWarning):
        report = recae.evaluate(
            Lists(rows(ann=[0], bob=[1], cat=[4]), on_masked="drop"), SMALL, "recall@2"
        )
    assert report["recall@2"] == 0
    # The mask of the fold counts, which need not be the history.
    masked = Fold(SMALL.history, SMALL.target, interactions(("cat", 0)))
    with pytest.raises(DataError, match="1 of 9 recommendations.*item 0 .*user 'cat'"):
        recae.evaluate(Lists(seen), masked, "recall@2")


def test_unknown_items_are_misses_that_keep_their_places() -> None:
    strange = rows(ann=[77, 1], bob=[2, 3], cat=[78, 79])
    with pytest.warns(RecaeWarning, match="3 of 6 recommendations .*, the first 77"):
        report = recae.evaluate(Lists(strange), SMALL, ["mrr@2", "recall@1"])
    assert report.per_user["mrr@2"].tolist() == [0.5, 1, 0]
    assert report.per_user["recall@1"].tolist() == [0, 0.5, 0]
    with pytest.raises(DataError, match="none .*recommended items .*, the first 50"):
        recae.evaluate(Lists(GOOD.assign(item_id=GOOD["item_id"] + 50)), SMALL, "mrr@2")


def test_users_who_are_not_in_the_fold_are_ignored_with_a_count() -> None:
    more = pd.concat([GOOD, rows(dan=[0, 1], eve=[2])])
    with pytest.warns(RecaeWarning, match="2 users .*ignored"):
        report = recae.evaluate(Lists(more), SMALL, "recall@2")
    assert report.per_user["recall@2"].tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="none .*2 users .*'dan'.* 'ann'"):
        recae.evaluate(Lists(rows(dan=[0, 1], eve=[2])), SMALL, "recall@2")


@pytest.mark.parametrize("start", [0, -3])
@pytest.mark.parametrize("step", [1, 5])
def test_ranks_may_begin_anywhere_and_have_gaps(start: int, step: int) -> None:
    # As after a filter: only the order counts.
    other = GOOD.assign(rank=start + step * GOOD["rank"])
    assert recae.evaluate(Lists(other), SMALL, "mrr@2").per_user["mrr@2"].tolist() == [0.5, 1, 0]


def test_lists_that_are_none() -> None:
    def refused(message: str, table: Any, **options: Any) -> None:
        with pytest.raises((DataError, ConfigError), match=message):
            Lists(table, **options)

    refused("1 rows .*item 2 .*user 'ann' .*row 6",
            pd.concat([GOOD, pd.DataFrame([("ann", 2, 9)], columns=GOOD.columns)],
                      ignore_index=True))  # fmt: skip
    refused("1 rows .*rank 1 .*user 'cat' .*row 5",
            GOOD.assign(rank=[1, 2, 1, 2, 1, 1]))  # fmt: skip
    refused("ranks .*numbers; .*0.5 at row 0.*score=", GOOD.assign(rank=0.5))
    refused("ranks .*finite.*nan .*row 1", GOOD.assign(rank=[1, np.nan, 1, 2, 1, 2]))
    scored = GOOD.drop(columns="rank")
    refused("'rank', .*'score'; .*rank= or score=", scored)
    refused(r"scores .*finite.*nan .*row 3 \(1 ", scored.assign(
        score=[1, 2, 3, np.nan, 5, 6]))  # fmt: skip
    refused("scores .*finite.*-inf .*row 0", scored.assign(score=-np.inf))
    refused("scores .*numbers", scored.assign(score="high"))
    refused(
        "user column 'user_id' is needed.*columns: who", GOOD.rename(columns={"user_id": "who"})
    )
    refused("no rows", GOOD[:0])
    refused("user ids .*1 of 6", GOOD.assign(user_id=[None, *"abcde"]))
    refused("table .*int", 7)
    refused("absent.parquet .*exist", "absent.parquet")
    refused("on_missing 'drop'.*empty, raise", GOOD, on_missing="drop")
    refused("on_masked 'dorp'.* mean 'drop'", GOOD, on_masked="dorp")


def test_ids_of_another_kind_are_refused() -> None:
    for column in ("user_id", "item_id"):
        other = GOOD.assign(**{column: 5 if column == "user_id" else GOOD[column].astype(str)})
        other = other.drop_duplicates(["user_id", "item_id"]).drop_duplicates(["user_id", "rank"])
        with pytest.raises(DataError, match="lists .*fold: .* ids "):
            recae.evaluate(Lists(other), SMALL, "recall@2")


def test_scores_that_rise_along_the_ranks_are_reported() -> None:
    upside_down = GOOD.assign(score=[0.1, 0.9, 0.9, 0.1, 0.5, 0.5])
    with pytest.warns(RecaeWarning, match="scores rise .*1 of 3 users.*'ann'"):
        lists = Lists(upside_down)
    assert recae.evaluate(lists, SMALL, "mrr@2")["mrr@2"] == 0.5  # the ranks count


def test_lists_in_many_batches(
    split: recae.data.splits.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recae.ranking import batches as rank

    rng = np.random.default_rng(0)
    many = pd.DataFrame([(u, i) for u in range(500) for i in rng.permutation(40)[:12]])
    data = Interactions.from_frame(many.set_axis(["user_id", "item_id"], axis=1))
    halves = recae.data.splits.holdout_pairs(data, 0.4)
    assert halves.validation is not None
    model = recae.EASE().fit(halves.train)
    top = model.recommend(k=6, history=halves.validation.history)
    expected = recae.evaluate(model, halves.validation, METRICS)
    monkeypatch.setattr(rank, "BATCH_CELLS", 40 * 64)  # 64 users a batch
    assert_same(
        recae.evaluate(Lists(top, train=halves.train), halves.validation, METRICS), expected
    )


def test_reports_of_lists_are_saved_and_compared(
    split: recae.data.splits.Split, fold: Fold, top: pd.DataFrame, tmp_path: Path
) -> None:
    theirs = recae.evaluate(Lists(top, name="theirs"), fold, ["ndcg@5"])
    path = theirs.save(tmp_path / "theirs.json", per_user=True)
    again = Report.load(path)
    assert again.mean == theirs.mean and again.model == "Lists('theirs')"
    ours = recae.evaluate(recae.Popularity().fit(split.train), fold, ["ndcg@5"])
    assert len(recae.compare({"theirs": again, "ours": ours}, "ndcg@5")) == 1


def test_something_else_is_no_model(fold: Fold) -> None:
    with pytest.raises(DataError, match="not str"):
        recae.evaluate("model", fold, "ndcg@5")  # type: ignore[arg-type]
