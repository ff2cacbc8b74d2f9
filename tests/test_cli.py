"""The command line, by running it: what it writes, what it says, and how it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import cli
from recae.cli.hyperparameters import read_value

USERS, ITEMS, BLOCK = 60, 24, 12
TINY = ["--set", "latent=8", "--set", "hidden=16", "--set", "epochs=2"]


def planted() -> pd.DataFrame:
    """Two tastes: even users have most of the items 100..111, odd ones of 112..123."""
    rng = np.random.default_rng(1)
    rows = [
        (user, 100 + item + BLOCK * (user % 2), 1000 + step)
        for user in range(USERS)
        for step, item in enumerate(rng.choice(BLOCK, size=8, replace=False))
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    planted().to_parquet(tmp_path / "plays.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that must end in exit code 1 and say so in one line."""
    capsys.readouterr()
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("recae: error: ")
    return lines[0].removeprefix("recae: error: ")


def misused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What stderr says of a command line that argparse refuses with exit code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run(*arguments)
    assert left.value.code == 2
    return capsys.readouterr().err


def test_fit_export_recommend_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "plays.parquet", "model", *TINY, "--with-history") == 0
    assert "mult-vae keeps the epoch with the best ndcg@100" in capsys.readouterr().out
    assert run("export", "model", "top.parquet", "--history", "plays.parquet", "-k", "5") == 0
    assert f"{5 * USERS} rows" in capsys.readouterr().out
    assert run("recommend", "model", "--users", "7,8", "-k", "5", "--out", "top.csv") == 0
    top, some = pd.read_parquet("top.parquet"), pd.read_csv("top.csv")
    assert top.groupby("user_id").size().tolist() == [5] * USERS
    seen = planted()
    assert top.merge(seen, on=["user_id", "item_id"]).empty  # held-out items count as seen too
    columns = ["user_id", "item_id", "rank"]
    expected = top.loc[top["user_id"].isin([7, 8]), columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(some[columns], expected, check_dtype=False)


def test_fit_is_the_library_with_the_same_settings(folder: Path) -> None:
    assert run("fit", "plays.parquet", "model", *TINY, "--seed", "3", "--held-out", "0") == 0
    model = recae.MultVAE(latent=8, hidden=(16,), epochs=2)
    model.fit(recae.read_parquet("plays.parquet"), seed=3)
    history = recae.read_parquet("plays.parquet")
    assert np.array_equal(recae.load("model").score(history), model.score(history))


@pytest.mark.parametrize("name", recae.MODELS)
def test_every_model_can_be_fitted(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    known = recae.MODELS[name].param_fields()
    tiny = [text for text in ("latent=8", "epochs=2") if text.partition("=")[0] in known]
    settings = [word for text in tiny for word in ("--set", text)]
    assert run("fit", "plays.parquet", "model", "--model", name, *settings) == 0
    said = capsys.readouterr().out
    assert ("has no epochs to choose from" in said) != ("keeps the epoch with the best" in said)
    assert isinstance(recae.load("model"), recae.MODELS[name])


def test_recommend_for_typed_items_finds_their_taste(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame(
        {"item_id": range(100, 100 + ITEMS), "name": [f"Song {i}" for i in range(ITEMS)]}
    ).to_csv("titles.csv", index=False)
    run("fit", "plays.parquet", "model", "--model", "ease")
    capsys.readouterr()
    titles = ("--titles", "titles.csv", "--title-column", "name")
    assert run("recommend", "model", "--items", "112,113,114", "-k", "9", *titles) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["user_id", "rank", "item_id", "score", "name"]
    cells = [row.split() for row in rows]
    assert [row[:2] for row in cells] == [["new", str(rank)] for rank in range(1, 10)]
    # The nine items left of the odd users' twelve, each beside its own title.
    assert sorted(int(row[2]) for row in cells) == list(range(115, 124))
    assert all(row[4:] == ["Song", str(int(row[2]) - 100)] for row in cells)


def test_evaluate_prints_and_writes_what_the_library_measures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("--models", "popularity,ease", "--set", "ease.l2=10", "--metrics", "recall@5,ndcg@10")
    arguments = ("--held-out", "0.2", "--fold-in", "0.5", "--seed", "4", "--json", "all.json")
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
    assert "2 users x 3 items, 5 interactions" in capsys.readouterr().out
    assert run("recommend", "model", "--users", "a") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["a", "1", "z"]


def test_mistakes_in_the_data_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ("fit", "plays.parquet", "model")
    assert "did you mean user='user_id'" in refused(capsys, *fit, "--user", "user_idd")
    assert "nowhere.csv does not exist" in refused(capsys, "fit", "nowhere.csv", "model")
    Path("notes.parquet").write_text("not a table")
    assert "notes.parquet is damaged" in refused(capsys, "fit", "notes.parquet", "model")
    assert "cannot tell the format" in refused(capsys, "fit", "plays.xlsx", "model")
    assert "min_per_user=99" in refused(capsys, *fit, "--min-per-user", "99")
    assert not Path("model").exists()


def test_mistakes_in_settings_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ("fit", "plays.parquet", "model", "--set")
    assert "Did you mean 'latent'?" in refused(capsys, *fit, "latnt=8")
    assert "latent of MultVAE must be an integer >= 1, not 'wide'" in refused(
        capsys, *fit, "latent=wide"
    )
    assert "mirror of MultVAE must be True or False, not 'maybe'" in refused(
        capsys, *fit, "mirror=maybe"
    )
    assert "Did you mean 'neither'?" in refused(capsys, *fit, "weights=neiter")
    assert "expected name=value, not 'latent'" in misused(capsys, *fit, "latent")
    assert "Did you mean 'mult-vae'?" in misused(capsys, *fit[:3], "--model", "mult-vea")
    compare = ("evaluate", "plays.parquet", "--models", "popularity,ease", "--set")
    assert "--set ease.l2=1" in refused(capsys, *compare, "l2=1")
    assert "unknown model in --set 'als'" in refused(capsys, *compare, "als.l2=1")
    assert "unknown metric 'ndgc'" in refused(capsys, *compare[:4], "--metrics", "ndgc@5")
    assert "unknown device" in refused(capsys, *fit[:3], "--device", "abacus")


def test_what_exists_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("fit", "plays.parquet", "model", "--model", "popularity")
    assert run(*fit) == 0
    before = {path.name: path.read_bytes() for path in Path("model").iterdir()}
    assert "model exists: pass --overwrite" in refused(capsys, *fit)
    assert {path.name: path.read_bytes() for path in Path("model").iterdir()} == before
    assert run(*fit[:3], "--model", "ease", "--overwrite") == 0
    assert isinstance(recae.load("model"), recae.EASE)
    Path("precious").mkdir()
    precious = refused(capsys, "fit", "nowhere.csv", "precious", "--overwrite")
    assert "precious exists and is not a model" in precious  # said before any reading or fitting
    missing = refused(capsys, "fit", "plays.parquet", "no/where/model")
    assert "does not exist" in missing and not Path("no").exists()
    assert "cannot write no/a.png" in refused(
        capsys, "evaluate", "plays.parquet", "--plot", "no/a.png"
    )


def test_mistakes_in_a_request_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fit", "plays.parquet", "model", "--model", "popularity")
    recommend = ("recommend", "model")
    assert "pass --history FILE" in refused(capsys, *recommend)
    assert "'first' is not one" in refused(capsys, *recommend, "--items", "first")
    assert "leave --users out" in refused(capsys, *recommend, "--items", "100", "--users", "1")
    history = (*recommend, "--history", "plays.parquet")
    assert "unknown user 999" in refused(capsys, *history, "--users", "999")
    assert "not allowed with" in misused(capsys, *history, "--items", "100")
    assert "not a model directory" in refused(capsys, "recommend", ".", "--items", "100")
    assert "k must be an integer >= 1" in refused(capsys, *history, "-k", "0")


def test_our_warnings_are_plain_lines_and_filters_stay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fit", "plays.parquet", "model", "--model", "popularity")
    capsys.readouterr()
    filters, show = list(warnings.filters), warnings.showwarning
    assert run("recommend", "model", "--items", "100,999", "-k", "1") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recae: warning: ") and "999" in line and ".py" not in line
    assert warnings.filters == filters and warnings.showwarning is show


def test_an_interruption_is_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recae, "read_table", interrupted)
    assert run("fit", "plays.parquet", "model") == 130
    assert capsys.readouterr().err == "recae: interrupted\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_teaches(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as left:
        run(command, "--help")
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said and f"\n  recae {command} " in said and "default: " in said
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("name", recae.MODELS)
def test_help_lists_the_hyperparameters(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit):
        run("fit", "--model", name, "--help")
    said = capsys.readouterr().out
    assert all(f"\n  {model} " in said for model in recae.MODELS)
    listed = said.partition(f"hyperparameters of {name}")[2]
    for key, about in recae.MODELS[name].param_fields().items():
        assert f"\n  {key} " in listed
        assert about.metadata["doc"].split()[0] in listed


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 0.001),
        ("3", float, 3.0),
        ("neither", str, "neither"),
        ("yes", bool, True),
        ("False", bool, False),
        ("600,200", tuple[int, ...], (600, 200)),
        ("(600, 200)", tuple[int, ...], (600, 200)),
        ("", tuple[int, ...], ()),
        ("none", float | None, None),
        ("2", int | None, 2),
        ("2.5", int, "2.5"),
        ("600,x", tuple[int, ...], (600, "x")),
    ],
)
def test_values_are_read_by_their_declared_type(text: str, hint: object, value: object) -> None:
    read = read_value(text, hint)
    assert read == value and type(read) is type(value)


def test_python_m_recae_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recae", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"recae {recae.__version__}\n")
