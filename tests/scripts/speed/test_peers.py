"""What the benchmarks beside other libraries give them, take from them, and make of it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from evaluation.kit.harness import Rounds
from evaluation.speed import epoch, evaluate, given, quality, time_to_quality
from evaluation.speed.stepwise import Stepwise
from recae.errors import ConfigError, DataError, RecaeError


def test_the_table_is_taken_as_it_is_or_as_recbole_takes_movielens(tmp_path) -> None:
    with pytest.raises(DataError, match="train.parquet .*ratings.parquet"):
        given.read(tmp_path)
    users, items = np.divmod(np.arange(144), 12)
    ratings = pd.DataFrame({"user": users, "item": items, "rating": 3.0})
    few = pd.DataFrame({"user": [99] * 9, "item": range(9), "rating": 5.0})  # 9 of 10
    low = pd.DataFrame({"user": range(12), "item": 77, "rating": 2.0})
    pd.concat([ratings, few, low]).to_parquet(tmp_path / "ratings.parquet")
    data = given.read(tmp_path)
    assert data.matrix.shape == (12, 12) and data.nnz == 144 and set(data.matrix.data) == {1}
    some = given.read(tmp_path, users=5)
    assert some.matrix.shape == (5, 12)
    ratings.to_parquet(tmp_path / "train.parquet")
    assert given.read(tmp_path).nnz == 144


def test_atomic_files_hold_rows_and_columns(tmp_path) -> None:
    matrix = sp.csr_matrix((np.ones(3, dtype=np.float32), ([0, 0, 4], [2, 7, 0])), shape=(5, 8))
    given.write_atomic(tmp_path, "train", matrix)
    lines = (tmp_path / "given" / "given.train.inter").read_text().splitlines()
    assert lines == ["user_id:token\titem_id:token", "0\t2", "0\t7", "4\t0"]


def test_a_training_goes_on_an_epoch_at_a_time(toy: recae.Interactions) -> None:
    model = recae.MultVAE(latent=2, hidden=(3,), epochs=50)
    training = Stepwise(lambda wait: model.fit(toy, callbacks=wait, progress=False))
    assert [training.epoch().number for _ in range(3)] == [1, 2, 3]
    training.stop()
    assert len(model.epochs_) == 3
    same = recae.MultVAE(latent=2, hidden=(3,), epochs=50)
    same.fit(toy, callbacks=lambda epoch: epoch.number == 3, progress=False)
    assert [e.loss for e in model.epochs_] == [e.loss for e in same.epochs_]
    broken = Stepwise(lambda wait: recae.MultVAE(latent=0).fit(toy))
    with pytest.raises(ConfigError, match="latent"):
        broken.epoch()


@pytest.fixture
def toy() -> recae.Interactions:
    rng = np.random.default_rng(0)
    cells = rng.random((30, 12)) < 0.4
    cells[:, :3] = True  # nobody is without
    return recae.Interactions.from_csr(sp.csr_matrix(cells.astype("f4")))


@pytest.mark.usefixtures("forks")
def test_an_epoch_is_measured_on_our_sides(tmp_path, toy, capsys) -> None:
    users, items = toy.matrix.nonzero()
    pd.DataFrame({"user": users, "item": items}).to_parquet(tmp_path / "train.parquet")
    sizes = ["--hidden=4", "--latent=2", "--batch=10", "--threads=1", "--rounds=2"]
    argv = [str(tmp_path), *sizes, "--users=20", "--sides", *epoch.OURS]
    assert epoch.main(argv) == 0
    out = capsys.readouterr().out
    assert "20 users" in out and "recae           median" in out and "round 2  recae" in out


CURVE = [
    {"epoch": 1, "seconds": 10.0, "recall@20": 0.1},
    {"epoch": 2, "seconds": 20.0, "recall@20": 0.22},
    {"epoch": 3, "seconds": 30.0, "recall@20": 0.2},
]


def test_what_a_curve_says() -> None:
    found = quality.summary(CURVE, target=0.19)
    assert found == {
        "epochs": 3,
        "seconds": 30.0,
        "best": 0.22,
        "seconds_to_best": 20.0,
        "seconds_to_target": 20.0,
    }
    assert quality.summary(CURVE, target=0.3)["seconds_to_target"] is None
    assert not quality.misses(found | {"test": 0.17}, 0.1641)
    assert quality.misses(found | {"test": 0.16}, 0.1641)
    assert quality.misses(found | {"test": 0.17, "seconds_to_target": None}, 0.1641)


def test_ratios_of_times_by_hand() -> None:
    line = {"best": 0.2, "seconds": 99.0, "test": 0.17, "seconds_to_best": 90.0}
    found = {
        "recae-plain": line | {"seconds_to_target": 30.0},
        "recae-fast": line | {"seconds_to_target": 10.0},
        "recbole": line | {"seconds_to_target": None},
    }
    assert quality.ratios(found) == {
        "recae-plain to the target / recae-fast": 3.0,
        "recbole to its best / recae-fast": 9.0,
    }
    words = quality.in_words(found)
    assert "not reached" in words and "3.00 times " in words
    assert quality.ratios({"recbole": found["recbole"]}) == {}


def test_lists_are_tested_against_the_table(toy: recae.Interactions) -> None:
    dense = toy.matrix.toarray() > 0
    hidden = [np.flatnonzero(row)[:2] for row in dense]
    test = np.zeros_like(dense)
    for user, items in enumerate(hidden):
        test[user, items] = True
    train = recae.Interactions.from_csr(sp.csr_matrix((dense & ~test).astype("f4")))
    target = recae.Interactions.from_csr(sp.csr_matrix(test.astype("f4")))
    lists = np.full((30, 20), -1)
    lists[:, 0] = [items[0] for items in hidden]  # one of two, for every user
    with pytest.warns(recae.RecaeWarning, match="fewer than 20 items"):
        assert quality.tested("theirs", lists, train, target) == 0.5


def test_the_picture_is_drawn(tmp_path) -> None:
    quality.plot({"recae": CURVE, "recbole": CURVE}, 0.2, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("forks")
def test_our_sides_race_from_the_table(tmp_path, capsys) -> None:
    rng = np.random.default_rng(1)
    users, items = (rng.random((60, 40)) < 0.3).nonzero()
    test = rng.random(len(users)) < 0.2
    table = pd.DataFrame({"user": users, "item": items})
    table[~test].to_parquet(tmp_path / "train.parquet")
    table[test].to_parquet(tmp_path / "test.parquet")
    argv = [str(tmp_path), "--epochs=3", "--threads=1", "--target=0.01", "--sides", "recae-plain"]
    kept = tmp_path / "curves"
    code = time_to_quality.main([*argv, "--work", str(kept)])
    out = capsys.readouterr().out
    assert "target reached" in out and code in (0, 1)
    (line,) = (kept / "recae-plain.jsonl").read_text().splitlines()  # it stops when it is there
    assert json.loads(line)["recall@20"] >= 0.01


@pytest.mark.usefixtures("forks")
def test_a_side_that_fails_says_why(tmp_path) -> None:
    options = type("Options", (), {"threads": 1})
    with pytest.raises(RecaeError, match=r"(?s)^recbole .*code 2.*unrecognized"):
        command = [sys.executable, "-m", "evaluation.speed.epoch", str(tmp_path), "--nonsense"]
        time_to_quality.run("recbole", command, tmp_path, options)


def test_the_sides_must_agree_on_the_metrics() -> None:
    def side(recall: float) -> list[dict[str, object]]:
        metrics = {"ndcg@100": 0.3, "recall@20": recall, "recall@50": 0.5}
        return [{"seconds": 1.0, "metrics": metrics}]

    sides = {"recae": side(0.25), "recbole": side(0.2505), "recae-few": side(0.4)}
    assert evaluate.disagreements(Rounds(sides | {"lenskit": side(0.4)})) == []
    (line,) = evaluate.disagreements(Rounds(sides | {"lenskit": side(0.25)}))
    assert line == "recall@20 is 0.250000 by lenskit, 0.400000 by recae-few"
    (line,) = evaluate.disagreements(Rounds(sides | {"recbole": side(0.26)}))
    assert "by recbole" in line


def test_evaluation_is_measured_on_our_side(capsys) -> None:
    argv = ["--users=200", "--items=150", "--latent=8", "--rounds=1", "--threads=1"]
    assert evaluate.main([*argv, "--sides", "recae"]) == 0
    assert "metrics agree" in capsys.readouterr().out


def test_the_peers_scripts_are_where_they_are_looked_for() -> None:
    names = [f"{peer}_epoch.py" for peer in epoch.THEIRS]
    names += ["recbole_fit.py", "recbole_evaluate.py", "lenskit_evaluate.py"]
    assert all((epoch.PEERS / name).is_file() for name in names)
