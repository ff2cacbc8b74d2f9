"""What the commands write and print, beside what the library gives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import cli

TINY = ["--set", "latent=8", "--set", "hidden=16", "--set", "epochs=2"]


def run(*arguments: str) -> int:
    return cli.main(arguments)


def test_fit_export_recommend_agree(
    folder: Path, plays: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "plays.parquet", "model", *TINY, "--with-history") == 0
    assert re.search("mult-vae .*best ndcg@100", capsys.readouterr().err)
    assert run("export", "model", "top.parquet", "--history", "plays.parquet", "-k", "5") == 0
    assert "300 rows" in capsys.readouterr().out
    parts = ("--history", "plays.parquet", "-k", "5", "--checkpoint", "parts")
    assert run("export", "model", "again.parquet", *parts) == 0
    assert Path("again.parquet").read_bytes() == Path("top.parquet").read_bytes()
    assert not Path("parts").exists()
    capsys.readouterr()
    assert run("recommend", "model", "--users", "7,8", "-k", "5", "--out", "top.csv") == 0
    top, some = pd.read_parquet("top.parquet"), pd.read_csv("top.csv")
    assert top.groupby("user_id").size().tolist() == [5] * 60
    assert top.merge(plays, on=["user_id", "item_id"]).empty  # held-out items count as seen too
    columns = ["user_id", "item_id", "rank"]
    expected = top.loc[top["user_id"].isin([7, 8]), columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(some[columns], expected, check_dtype=False)


def test_export_to_a_folder(
    folder: Path, plays: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "plays.parquet", "model", "--model", "ease", "--with-history") == 0
    Path("users.txt").write_text("8\n7\n")
    items = plays["item_id"].unique()
    titles = pd.DataFrame({"item_id": items, "name": [f"Item {item}" for item in items]})
    titles.to_csv("titles.csv", index=False)
    options = ("--titles", "titles.csv", "--title-column", "name", "--users-file", "users.txt")
    command = ("export", "model", "my top %1", "-k", "3", "--exclude-items", "105", *options)
    assert run(*command) == 0
    assert "6 rows" in capsys.readouterr().out
    export = recae.open_export("my top %1")
    export.verify()
    found = export.dataset().to_table().to_pandas()
    expected = recae.load("model").recommend([8, 7], 3, exclude_items=[105])
    assert found["item_id"].tolist() == expected["item_id"].tolist()
    assert found["title"].tolist() == [f"Item {item}" for item in found["item_id"]]
    assert run(*command) == 4
    assert "--overwrite" in capsys.readouterr().err
    assert run(*command, "--overwrite") == 0


def test_fit_is_the_library_with_the_same_settings(folder: Path) -> None:
    assert run("fit", "plays.parquet", "model", *TINY, "--seed", "3", "--held-out", "0") == 0
    model = recae.MultVAE(latent=8, hidden=(16,), epochs=2)
    model.fit(recae.read_parquet("plays.parquet"), seed=3)
    history = recae.read_parquet("plays.parquet")
    assert np.array_equal(recae.load("model").score(history), model.score(history))


NARROW = ("width=12", "depth=2", "decoder_depth=2", "components=5")


@pytest.mark.parametrize("name", recae.MODELS)
def test_every_model_can_be_fitted(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    known = recae.MODELS[name].param_fields()
    tiny = [
        text
        for text in ("latent=8", "epochs=2", "members=EASE();ALS(epochs=1)", *NARROW)
        if text.partition("=")[0] in known
    ]
    settings = [word for text in tiny for word in ("--set", text)]
    assert run("fit", "plays.parquet", "model", "--model", name, *settings) == 0
    said = capsys.readouterr().err
    assert ("no epochs" in said) != ("held out" in said)
    assert isinstance(recae.load("model"), recae.MODELS[name])


def test_recommend_for_typed_items_finds_their_taste(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({"item_id": range(100, 124), "name": [f"Song {i}" for i in range(24)]}).to_csv(
        "titles.csv", index=False
    )
    run("fit", "plays.parquet", "model", "--model", "ease")
    capsys.readouterr()
    titles = ("--titles", "titles.csv", "--title-column", "name")
    assert run("recommend", "model", "--liked", "112,113,114", "-k", "9", *titles) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["user_id", "rank", "item_id", "score", "title"]
    cells = [row.split() for row in rows]
    assert [row[:2] for row in cells] == [["new", str(rank)] for rank in range(1, 10)]
    # The nine items left of the odd users' twelve, each beside its own title.
    assert sorted(int(row[2]) for row in cells) == list(range(115, 124))
    assert all(row[4:] == ["Song", str(int(row[2]) - 100)] for row in cells)


def test_evaluate_prints_and_writes_what_the_library_measures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("--models", "popularity,ease", "--set", "ease.l2=10", "--metrics", "recall@5,ndcg@10")
    arguments = ("--held-out", "0.2", "--fold-in", "0.5", "--seed", "4", "--out", "all.json")
    assert run("evaluate", "plays.parquet", *models, *arguments, "--plot", "all.png") == 0
    split = recae.StrongGeneralization(held_out=0.2, fold_in=0.5).split(
        recae.read_parquet("plays.parquet"), seed=4
    )
    fitted = recae.EASE(l2=10.0).fit(split.train, seed=4)
    expected = recae.evaluate(fitted, split.test, ["recall@5", "ndcg@10"])
    written = json.loads(Path("all.json").read_text())
    assert written["models"]["ease"]["metrics"]["recall@5"]["mean"] == expected["recall@5"]
    assert written["models"]["ease"]["provenance"]["params"]["l2"] == 10
    assert written["protocol"] == {"held_out": 0.2, "fold_in": 0.5, "seed": 4}
    table = capsys.readouterr().out.splitlines()[-3:]
    assert table[0].split() == ["recall@5", "ndcg@10"]
    assert [line.split()[0] for line in table[1:]] == ["popularity", "ease"]
    assert f"{expected['recall@5']:.4f} [" in table[2]
    assert Path("all.png").read_bytes().startswith(b"\x89PNG")


def test_columns_filters_and_text_ids(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame(
        {
            "who": ["a", "a", "a", "b", "b", "b", "c"],
            "what": ["x", "y", "z", "x", "y", "z", "x"],
            "stars": [5, 4, 1, 5, 5, 4, 5],
        }
    )
    table.to_csv("ratings.tsv", sep="\t", index=False)
    columns = ("--user", "who", "--item", "what", "--weight", "stars", "--min-weight", "4")
    least = ("--min-per-user", "2", "--model", "popularity", "--with-history")
    assert run("fit", "ratings.tsv", "model", *columns, *least) == 0
    # a: x, y; b: x, y, z; c has one item left and goes
    assert "2 users x 3 items, 5 interactions" in capsys.readouterr().err
    assert run("recommend", "model", "--users", "a") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["a", "1", "z"]


def test_strangers_are_skipped_or_get_what_is_popular(
    folder: Path, plays: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    favourite = plays.loc[plays["user_id"] < 40].assign(item_id=1000).drop_duplicates("user_id")
    pd.concat([plays, favourite]).to_parquet("plays.parquet")  # 40 of 60 users: none has more
    run("fit", "plays.parquet", "model", *TINY, "--held-out", "0")
    stranger = ("recommend", "model", "--liked", "7", "-k", "1", "--on-unknown")
    capsys.readouterr()
    assert run(*stranger, "popular") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["new", "1", "1000", "40.0000"]
    assert run(*stranger, "skip") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(*stranger, "raise") == 3


def test_a_fit_goes_on_from_its_checkpoint_and_ctrl_c_saves_the_best(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "epochs=4", "--set", "latent=4", "--set", "hidden=6", "--held-out", "0"]
    assert run("fit", "plays.parquet", "whole", *settings) == 0
    epoch, calls = recae.training.loop._epoch, iter(range(99))

    def interrupted(*arguments: object) -> float:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr("recae.training.checkpoint.SHARE", float("inf"))
    monkeypatch.setattr("recae.training.loop._epoch", interrupted)
    assert run("fit", "plays.parquet", "part", "--checkpoint", "run", *settings) == 130
    assert "after 2 epochs" in capsys.readouterr().err
    assert len(recae.load("part").recommend(k=2, history=recae.read_parquet("plays.parquet")))
    assert Path("run").is_file()
    assert run("fit", "plays.parquet", "part", "--checkpoint", "run", "--overwrite", *settings) == 0
    assert not Path("run").exists()
    both = [(Path(name) / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert both[0] == both[1]
