"""The suites of evaluation/: what their files may say, the data they take, and one run whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.kit.grid import choose
from evaluation.suites import published
from evaluation.suites import run as run_suite
from evaluation.suites.data import carved, read_split
from evaluation.suites.ml20m_partial import METRIC
from evaluation.suites.model import longer
from evaluation.suites.read import SUITES, read_suite, suite_names
from recae.errors import ConfigError, DataError

DATA = recae.load_dataset("ml-latest-small").interactions
SPLIT = recae.StrongGeneralization(held_out=0.3).split(DATA.filter(min_per_item=30))

SUITE = """
title = "a"
[data]
train = "train.csv"
test = "test.csv"
[protocol]
kind = "fixed"
carve = 0.5
[measure]
metric = "recall@2"
[models.ease]
"""


def written(folder: Path, text: str = SUITE) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_can_be_read_and_draws_from_valid_ranges(name: str) -> None:
    suite = read_suite(name)
    recae.metrics.parse_metrics(suite.metrics)
    for candidate in suite.models.values():
        for setting, values in (candidate.search or {}).items():
            ends = values if isinstance(values, list) else list(values)
            for value in ends:
                candidate.template.clone().set_params(**{setting: value}).check_params()
    assert suite.members <= set(suite.models)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[models.ease]", "[models.esae]", "model .*mine.toml 'esae'"),
        ("[models.ease]", "[models.ease]\nsets = {}", r"entry .*mine.toml \[models.ease\] 'sets'"),
        ("[models.ease]", "[models.ease]\nset = { l2 = -1 }", "l2 .*EASE .*> 0"),
        ("[models.ease]", "[models.ease]\nsearch = { l2 = 3 }", r"search\.l2 .*ease .*list"),
        ("[models.ease]", "[models.ease]\nsearch = 'all'", '"usual"'),
        ("[models.ease]", "[models.ensemble]\nmembers = ['x']", "ensemble member .*'x'"),
        ('title = "a"', 'title = "a', "mine.toml .*TOML: "),
        ('title = "a"', 'title = "a"\ntest = 1', "entry .*mine.toml 'test'"),
        ("[data]", "[date]", "entry .*mine.toml 'date'"),
        ('[measure]\nmetric = "recall@2"', "", "mine.toml .* measure"),
    ],
)
def test_what_a_suite_must_not_say(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_suite("mine", written(tmp_path, SUITE.replace(old, new)))


def test_an_unknown_suite_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown suite 'gowala'.*gowalla"):
        read_suite("gowala")


def table(path: Path, *pairs: tuple[int, str]) -> Path:
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def test_a_folder_and_named_tables_give_the_same_split(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path))
    train = table(tmp_path / "train.csv", (1, "a"), (1, "b"), (2, "a"), (2, "c"))
    test = table(tmp_path / "test.csv", (1, "c"), (2, "b"))
    by_folder = read_split(suite, tmp_path)
    by_name = read_split(suite, None, {"train": train, "test": test})
    assert by_folder.test.fingerprint() == by_name.test.fingerprint()
    parquet = table(tmp_path / "other.parquet", (1, "c"), (2, "b"))
    again = read_split(suite, None, {"train": train, "test": parquet})
    assert again.test.fingerprint() == by_folder.test.fingerprint()
    assert by_folder.test.target.nnz == 2 and by_folder.validation is None


def test_tables_that_are_missing_or_of_another_protocol(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path))
    with pytest.raises(DataError, match="mine needs .*train.csv"):
        read_split(suite, tmp_path)
    with pytest.raises(ConfigError, match="missing --test"):
        read_split(suite, None, {"train": tmp_path / "train.csv"})
    with pytest.raises(ConfigError, match="train, validation, test"):
        read_split(suite, None, {"interactions": tmp_path / "train.csv"})
    with pytest.raises(DataError, match="^mine .*data set"):
        read_split(suite, None)


def test_leaks_in_tables_of_ones_own_are_refused(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path))
    train = table(tmp_path / "train.csv", (1, "a"), (1, "b"), (2, "a"), (2, "c"))
    leaking = table(tmp_path / "leak.csv", (1, "c"), (2, "c"))
    with pytest.raises(DataError, match="1 of 2 test"):
        read_split(suite, None, {"train": train, "test": leaking})
    twice = table(tmp_path / "twice.csv", (1, "c"), (1, "c"), (2, "b"))
    with pytest.raises(DataError, match="1 rows .*pair"):
        read_split(suite, None, {"train": train, "test": twice})


def test_validation_is_carved_out_of_train_where_none_is_published(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path))
    table(tmp_path / "train.csv", *((u, i) for u in range(5) for i in "abcdefgh"[u : u + 4]))
    table(tmp_path / "test.csv", *((u, "z") for u in range(5)))
    split = read_split(suite, tmp_path)
    choosing = carved(split, suite)
    assert choosing.validation.target.nnz == choosing.train.nnz == 10  # half of 20
    cells = [part.matrix.toarray() > 0 for part in (choosing.train, choosing.validation.target)]
    np.testing.assert_array_equal(cells[0] | cells[1], split.train.matrix.toarray() > 0)
    assert not (cells[0] & cells[1]).any()


def test_settings_can_be_chosen_on_the_most_popular_items_alone(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path, SUITE + "top_items = 2\n"))
    table(
        tmp_path / "train.csv", *((u, i) for u in range(4) for i in ("ab", "abc", "abc", "cd")[u])
    )
    table(tmp_path / "test.csv", *((u, "z") for u in range(4)))
    choosing = carved(read_split(suite, tmp_path), suite, suite.models["ease"].top_items)
    assert choosing.train.items.ids.tolist() == ["a", "b"]  # 3 users each, as c, which comes later
    assert choosing.train.nnz == choosing.validation.target.nnz == 3  # of 3 users with both


def test_pairs_of_some_users_alone_can_be_held_out(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path, SUITE + "validation_users = 3\n"))
    table(tmp_path / "train.csv", *((u, i) for u in range(9) for i in "abcdefghijkl"[u : u + 4]))
    table(tmp_path / "test.csv", *((u, "z") for u in range(9)))
    choosing = carved(read_split(suite, tmp_path), suite, None, 3)
    assert choosing.validation.target.n_users == 3
    assert suite.models["ease"].validation_users == 3
    assert choosing.train.nnz + choosing.validation.target.nnz == 36
    assert choosing.train.n_users == 9


def test_whole_users_are_carved_out_where_the_test_has_new_ones() -> None:
    suite = read_suite("ml20m_heldout")
    split = recae.data.splits.Split(DATA, None, None)
    suite = run_suite.replace(suite, protocol={"kind": "folds", "carve": 100})
    choosing = carved(split, suite)
    assert choosing.train.n_users == DATA.n_users - 100
    held = choosing.validation.history.users.ids
    assert len(held) == 100 and not set(held) & set(choosing.train.users.ids)


def test_published_figures_name_their_source_and_their_metric() -> None:
    for suite, said in published.read().items():
        assert suite in suite_names() and said["title"] and said["protocol"]
        metrics = read_suite(suite).metrics
        for row in said["rows"]:
            assert row["source"] and all(0 < value < 1 for value in row["values"].values())
            assert set(row["values"]) <= set(metrics), (suite, row["model"])
            assert row.get("comparable", True) or row["note"]


def test_the_first_published_row_of_a_model_is_the_one_beside_ours() -> None:
    figure = published.of("gowalla", "ease")["recall@20"]
    assert figure.value == 0.176493 and figure.comparable and "BARS" in figure.source
    assert published.of("gowalla", "random") == {}


def test_the_setting_that_is_best_on_validation_is_chosen() -> None:
    grid = {"l2": (1e6, 50.0), "dropout": (0.0, 0.3)}
    best, trials = choose(recae.EDLAE(), grid, SPLIT.train, SPLIT.validation, METRIC, seed=0)
    by_hand = {}
    for l2 in grid["l2"]:
        for dropout in grid["dropout"]:
            model = recae.EDLAE(l2=l2, dropout=dropout).fit(SPLIT.train)
            by_hand[l2, dropout] = recae.evaluate(model, SPLIT.validation, METRIC)[METRIC]
    assert (best.l2, best.dropout) == max(by_hand, key=by_hand.__getitem__)
    assert {(t["params"]["l2"], t["params"]["dropout"]): t[METRIC] for t in trials} == by_hand


def test_every_suite_file_is_one_of_the_list() -> None:
    files = [path for path in SUITES.iterdir() if path.is_file()]
    assert {path.suffix for path in files} == {".toml", ".py"}
    assert suite_names() == sorted(path.stem for path in files if path.suffix == ".toml")
    assert json.dumps(suite_names())


def test_the_seeds_that_are_asked_for_are_those_of_every_model_of_chance(tmp_path: Path) -> None:
    suite = read_suite("mine", written(tmp_path, SUITE + "[models.mult-dae]\n[models.als]\n"))
    asked = run_suite.argparse.Namespace(models=None, seconds=None, patience=None, seeds=3)
    changed = run_suite._changed(suite, asked)
    assert {name: model.seeds for name, model in changed.models.items()} == {
        "ease": 1,
        "mult-dae": 3,
        "als": 3,
    }


@pytest.mark.parametrize("option", ["--seeds", "--seconds", "--patience"])
def test_no_seeds_and_no_seconds_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be .*, not 0"):
        run_suite.main("bundled", [option, "0"])


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        ({"seconds": 120}, True),
        ({"seconds": 3600, "patience": 50}, True),
        ({"seconds": 60}, False),
        ({"seconds": 3600, "halving": False}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_longer_search_counts_as_the_wanted_one(kept, counts: bool) -> None:
    assert longer(kept, {"seconds": 120}) == counts


def test_a_suite_without_published_figures_has_no_table_of_them() -> None:
    title, text = published.document(["bundled"]).split("\n\n")
    assert title == f"### {read_suite('bundled').title}" and "|" not in text


def test_what_is_at_second_hand_or_from_memory_is_not_called_checked() -> None:
    for suite, said in published.read().items():
        for row in said["rows"]:
            text = f"{row['source']} {row.get('note', '')}"
            if "second hand" in text or "from memory" in text:
                assert not row.get("checked", True), (suite, row["model"])


def test_new_users_are_carved_out_as_a_share_too() -> None:
    suite = run_suite.replace(read_suite("ml20m_heldout"), protocol={"kind": "folds"})
    choosing = carved(recae.data.splits.Split(DATA, None, None), suite)
    assert choosing.validation.history.n_users == DATA.n_users // 10
