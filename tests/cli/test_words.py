"""The words people type: what is meant is understood, or answered in one line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import cli
from recae.cli.hyperparameters import build_model, build_models, model_name
from recae.cli.words import in_shell
from recae.errors import ConfigError


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines of stderr of a command line that is refused with exit code 2."""
    capsys.readouterr()
    try:
        assert cli.main(arguments) == 2
    except SystemExit as left:
        assert left.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("fti",), "'fit'"),
        (("train", "a", "b"), "'fit'"),
        (("reccomend", "m"), "'recommend'"),
        (("fit", "--modle", "ease", "a", "b"), "'--model'"),
        (("fit", "a", "b", "--overwite"), "'--overwrite'"),
        (("fit", "a", "b", "--force"), "'--overwrite'"),
        (("fit", "a", "b", "--factors", "64"), "--set latent=VALUE"),
        (("fit", "a", "b", "--learning-rate=0.1"), "--set lr=0.1"),
        (("fit", "a", "b", "--model", "easy"), "'ease'"),
        (("fit", "a", "b", "--duplicates", "Sum"), "'sum'"),
        (("evaluate", "a", "--models", "popularity,eaes"), "'ease'"),
        (("recommend", "m", "--top-k", "5"), "'-k'"),
        (("recommend", "m", "--on-unknown", "popularity"), "'popular'"),
        (("export", "m", "o", "--blacklist", "5"), "'--exclude-items'"),
        (("map", "m", "o.png", "--method", "t-sne"), "'tsne'"),
        (("datasets", "ml20m"), "'ml-20m'"),
        (("completion", "bsh"), "'bash'"),
    ],
)
def test_a_mistyped_word_is_one_line_of_usage_and_one_answer(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], meant: str
) -> None:
    *usage, error = said(capsys, *arguments)
    assert error.startswith("recae: error: ") and meant in error
    command = f"usage: recae {arguments[0]} " if arguments[0] in cli.COMMANDS else "usage: recae "
    assert len(usage) <= 1 and all(line.startswith(command) for line in usage)


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["help", "datasets"])
    assert left.value.code == 0 and "recae datasets" in capsys.readouterr().out


def test_a_model_has_the_name_of_its_class_in_any_case() -> None:
    for name, model in recae.MODELS.items():
        for text in (name, name.upper(), name.replace("-", "_"), model.__name__):
            assert model_name(text) == name
    assert model_name("MultiVAE") == "mult-vae"  # RecBole's name of the same model


@pytest.mark.parametrize("text", ["600,200", "(600, 200)", "[600,200]", "[600, 200]"])
def test_tuples_as_they_are_typed(text: str) -> None:
    assert build_model("mult-vae", [("hidden", text)]).get_params()["hidden"] == (600, 200)


def test_settings() -> None:
    with pytest.raises(ConfigError) as caught:
        build_model("ease", [("L2", "5")])
    assert "'l2'" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        build_model("ease", [("l2", "5"), ("l2", "6")])
    assert caught.value.parameter == "l2"
    with pytest.raises(ConfigError) as caught:
        build_model("mult-vae", [("hidden", "600x200")])
    assert "600,200" in str(caught.value)
    assert build_models(["ease"], [("EASE.l2", "5")])["ease"].get_params()["l2"] == 5


def test_messages_are_in_the_words_of_the_shell() -> None:
    parser = cli.build_parser(["recommend"])
    command = parser.parse_args(["recommend", "m"]).command
    for python, shell in {
        "pass overwrite=True to replace it": "pass --overwrite to replace it",
        "did you mean item='Artist ID'?": "did you mean --item 'Artist ID'?",
        "pass on_unknown='popular' or": "pass --on-unknown popular or",
        "pass history=..., or": "pass --history FILE, or",
        "min_weight=3 is too much.": "--min-weight 3 is too much.",
        "pass sep=';' or": "pass --sep ';' or",
        "duplicates= (--duplicates) has others": "--duplicates has others",
        "time=None ignores it": "--time '' ignores it",
        "l2=5 of EASE(l2=5)": "l2=5 of EASE(l2=5)",
        "'item=3' in row 4": "'item=3' in row 4",
    }.items():
        assert in_shell(python, command) == shell


@pytest.fixture
def model(folder: Path) -> Path:
    settings = ("--model", "ease", "--set", "l2=1", "--with-history", "-q")
    assert cli.main(("fit", "plays.parquet", "model", *settings)) == 0
    return folder


def test_a_column_of_another_spelling(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"User_ID": [1], "Item": [100]}).to_csv("odd.csv", index=False)
    assert cli.main(("recommend", "model", "--history", "odd.csv")) == 3
    assert "--user User_ID" in capsys.readouterr().err
    more = ("--user", "User_ID")
    assert cli.main(("recommend", "model", "--history", "odd.csv", *more)) == 3
    assert "--item Item" in capsys.readouterr().err


def test_lists_of_ids(model: Path, plays: pd.DataFrame) -> None:
    whole = recae.load("model")
    Path("users.txt").write_text("7\n\n8\n7\n")
    pd.DataFrame({"item_id": [113, 114, 100]}).to_parquet("stock.parquet")
    pd.DataFrame({"item_id": [113], "why": "old"}).to_csv("gone.csv", index=False)
    for options, expected in (
        (("--users", "7,8"), whole.recommend([7, 8], 3)),
        (("--users-file", "users.txt"), whole.recommend([7, 8], 3)),
        (("--items", "113,114,100"), whole.recommend(k=3, items=[100, 113, 114])),
        (("--items-file", "stock.parquet"), whole.recommend(k=3, items=[100, 113, 114])),
        (("--exclude-items", "113"), whole.recommend(k=3, exclude_items=[113])),
        (("--exclude-items-file", "gone.csv"), whole.recommend(k=3, exclude_items=[113])),
        (("--no-exclude-seen",), whole.recommend(k=3, exclude_seen=False)),
        (
            ("--history", "plays.parquet", "--history", "more.parquet", "--users", "7,99"),
            whole.recommend([7, 99], 3, history=pd.concat([plays, plays[:8].assign(user_id=99)])),
        ),
    ):
        plays[:8].assign(user_id=99).to_parquet("more.parquet")
        for command in (("recommend", "model", "--out"), ("export", "model")):
            arguments = (*command, "top.parquet", "-k", "3", "--overwrite", "-q", *options)
            assert cli.main(arguments) == 0
            found = pd.read_parquet("top.parquet").astype({"rank": "int64"})
            pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (3, ("--users-file", "none.txt")),
        (3, ("--users-file", "empty.txt")),
        (3, ("--items-file", "words.txt")),
        (2, ("--users", "a")),
        (2, ("--liked", "x")),
        (2, ("-k", "0")),
    ],
)
def test_lists_that_are_none(
    model: Path, capsys: pytest.CaptureFixture[str], code: int, arguments: tuple[str, ...]
) -> None:
    Path("empty.txt").write_text("\n")
    Path("words.txt").write_text("one\ntwo\n")
    assert cli.main(("recommend", "model", *arguments)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recae: error: ")
    for empty in ("", ",", "1,,2"):
        with pytest.raises(SystemExit) as left:
            cli.main(("recommend", "model", "--users", empty))
        assert left.value.code == 2


def test_titles_in_every_command(model: Path) -> None:
    names = {100 + i: f"Song {i}" for i in range(20)}
    pd.DataFrame({"item_id": list(names), "name": list(names.values())}).to_csv("t.csv")
    for option in ("--titles", "--items-table"):
        titles = (option, "t.csv", "--title-column", "name", "-q")
        assert cli.main(("export", "model", "a.parquet", "-k", "4", "--overwrite", *titles)) == 0
        found = pd.read_parquet("a.parquet")
        assert list(found.columns) == ["user_id", "item_id", "score", "rank", "title"]
        assert found["title"].dropna().tolist() == [
            names[item] for item in found["item_id"] if item in names
        ]
        assert found["title"].isna().equals(~found["item_id"].isin(names))
    assert cli.main(("map", "model", "map.html", "--least", "1", "--method", "pca", *titles)) == 0
    assert "Song 7" in Path("map.html").read_text()
    recae.load("model").export("b.parquet", k=4, titles=names)
    assert pd.read_parquet("b.parquet").equals(found)


def test_no_mistake_is_a_traceback(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, code in ((ValueError("odd\nlines"), 1), (PermissionError(13, "no"), 4)):

        def fail(*arguments: object, error: Exception = error, **options: object) -> None:
            raise error

        monkeypatch.setattr(recae, "load", fail)
        assert cli.main(("recommend", "model")) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("recae: error: ") and type(error).__name__ in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "a", "b", "--seed", "x"),
        ("recommend", "m", "-k", "1e3"),
        ("tune", "a", "b", "--trials="),
    ],
)
def test_a_number_that_is_none(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    usage, error = said(capsys, *arguments)
    assert "number" in error and arguments[-1].partition("=")[2] in error


def test_items_that_the_model_does_not_know(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("recommend", "model", "--users", "7", "-k", "2", "--exclude-items", "5,113")
    capsys.readouterr()
    assert cli.main(more) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("recae: warning: ") and "--on-unknown-items" in line
    assert cli.main((*more, "--on-unknown-items", "raise")) == 3


def test_every_command_can_be_completed() -> None:
    pytest.importorskip("shtab")
    assert cli.main(["completion", "bash"]) == 0
