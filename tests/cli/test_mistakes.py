"""How the commands refuse: exit codes, one line that explains, nothing lost."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import pytest

import recae
from recae import cli


def run(*arguments: str) -> int:
    return cli.main(arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that must end in an exit code of its own and say so in one line."""
    capsys.readouterr()
    assert run(*arguments) in set(cli.EXIT_CODES.values())
    *notes, line = capsys.readouterr().err.splitlines()
    assert line.startswith("recae: error: ") and not any("rror" in note for note in notes)
    return line.removeprefix("recae: error: ")


def misused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What stderr says of a command line that argparse refuses with exit code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run(*arguments)
    assert left.value.code == 2
    return capsys.readouterr().err


def test_mistakes_in_the_data_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ("fit", "plays.parquet", "model")
    assert "--user user_id" in refused(capsys, *fit, "--user", "user_idd")
    assert "nowhere.csv" in refused(capsys, "fit", "nowhere.csv", "model")
    Path("notes.parquet").write_text("not a table")
    sheet = "plays.xlsx"
    Path(sheet).write_bytes(b"PK")
    assert "notes.parquet" in refused(capsys, "fit", "notes.parquet", "model")
    assert "CSV" in refused(capsys, "fit", sheet, "model")
    assert "--min-per-user 99" in refused(capsys, *fit, "--min-per-user", "99")
    assert not Path("model").exists()


def test_mistakes_in_settings_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ("fit", "plays.parquet", "model", "--set")
    assert "mean 'latent'?" in refused(capsys, *fit, "latnt=8")
    wide, maybe = (refused(capsys, *fit, text) for text in ("latent=wide", "mirror=maybe"))
    assert re.search("latent .*MultVAE .*>= 1, not 'wide'", wide)
    assert re.search("mirror .*MultVAE .*True .*False, not 'maybe'", maybe)
    assert "mean 'neither'?" in refused(capsys, *fit, "weights=neiter")
    assert "expected name=value, not 'latent'" in misused(capsys, *fit, "latent")
    assert "recae best" in misused(capsys, *fit[:3], "--model", "auto-ensemble")
    assert "mean 'mult-vae'?" in misused(capsys, *fit[:3], "--model", "mult-vea")
    compare = ("evaluate", "plays.parquet", "--models", "popularity,ease", "--set")
    assert "--set ease.l2=1" in refused(capsys, *compare, "l2=1")
    assert "in --set 'als'" in refused(capsys, *compare, "als.l2=1")
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
    assert "precious exists" in precious  # said before any reading or fitting
    missing = refused(capsys, "fit", "plays.parquet", "no/where/model")
    assert "no/where" in missing and not Path("no").exists()
    assert "no/a.png" in refused(capsys, "evaluate", "plays.parquet", "--plot", "no/a.png")


def test_mistakes_in_a_request_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fit", "plays.parquet", "model", "--model", "ease")
    recommend = ("recommend", "model")
    assert "pass --history FILE" in refused(capsys, *recommend)
    assert "'first'" in refused(capsys, *recommend, "--liked", "first")
    assert "leave --users out" in refused(capsys, *recommend, "--liked", "100", "--users", "1")
    history = (*recommend, "--history", "plays.parquet")
    assert "unknown user 999" in refused(capsys, *history, "--users", "999")
    assert "not allowed" in misused(capsys, *history, "--liked", "100")
    assert "nothing saved" in refused(capsys, "recommend", ".", "--liked", "100")
    assert re.match("k .*>= 1, not 0", refused(capsys, *history, "-k", "0"))


def test_our_warnings_are_plain_lines_and_filters_stay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fit", "plays.parquet", "model", "--model", "popularity")
    capsys.readouterr()
    filters, show = list(warnings.filters), warnings.showwarning
    assert run("recommend", "model", "--liked", "100,999", "-k", "1") == 0
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


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ("fit", "plays.parquet", "model", "--set", "latnt=8")),
        (3, ("fit", "nowhere.csv", "model")),
        (4, ("fit", "plays.parquet", "no/where/model")),
        (6, ("fit", "plays.parquet", "model", "--set", "lr=1e38", "--set", "latent=4")),
    ],
)
def test_scripts_can_tell_mistakes_apart(
    folder: Path, code: int, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments) == code


def test_every_error_has_a_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in list(vars(recae.errors).values()):
        if isinstance(kind, type) and issubclass(kind, recae.RecaeError):

            def fail(*arguments: object, kind: type = kind, **options: object) -> None:
                raise kind("it went wrong")

            monkeypatch.setattr(recae, "read_table", fail)
            assert run("fit", "plays.parquet", "model") == cli.EXIT_CODES[kind]


def test_names_of_columns_without_their_table_are_no_ids(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "plays.parquet", "own", "--model", "popularity", "--with-history") == 0
    for name in ("user", "item"):
        for command in (("recommend", "own"), ("export", "own", "top.parquet")):
            assert f"--{name}s 1" in refused(capsys, *command, f"--{name}", "1")
    assert "--titles" in refused(capsys, "recommend", "own", "--title-column", "name")
    assert "--history plays.parquet" in misused(capsys, "recommend", "own", "plays.parquet")
    Path("names.csv").write_text("item_id,title\n99999,Alien\n")
    told = refused(capsys, "recommend", "own", "--titles", "names.csv")
    assert told.count("names.csv") == 1 and "--title-id" in told


def test_options_are_named_as_they_are_typed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("ease", "mult-vae"):
        for command in ("fit", "tune"):
            line = (command, "plays.parquet", "none", "--model", model, "--held-out", "1.5")
            assert "--held-out" in refused(capsys, *line)
    assert run("fit", "plays.parquet", "some", "--model", "ease", "--with-history") == 0
    assert "--least" in refused(capsys, "map", "some", "map.html", "--least", "1000000")
    assert "--entries" in refused(
        capsys, "evaluate", "plays.parquet", "--models", "popularity", "--entries", "some"
    )
    known = recae.load("some").history_.users.ids
    monkeypatch.setattr("sys.stdin", io.StringIO(f"user_id\n{known[0]}\n"))
    assert run("recommend", "some", "--users-file", "-", "-k", "1") == 0


@pytest.mark.parametrize("rank", ["0", "1"])
def test_commands_of_one_process_are_refused_under_torchrun(
    rank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["datasets"]) == 2
    written = capsys.readouterr()
    assert not written.out and "torchrun" in written.err and "recae fit" in written.err
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert cli.main(["datasets"]) == 0


def test_what_cannot_be_written_is_refused_before_the_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recae.EASE, "fit", lambda *args, **options: pytest.fail("it was fitted"))
    fit = ("fit", "plays.parquet", "model", "--model", "ease")
    Path("parts").mkdir()
    assert "parts" in refused(capsys, *fit, "--checkpoint", "parts")

    def denied(**where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    assert "cannot be written" in refused(capsys, *fit)
    out = ("--models", "ease", "--out", "all.json")
    assert "cannot be written" in refused(capsys, "evaluate", "plays.parquet", *out)


def test_a_table_of_other_items_is_suspected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "plays.parquet", "model", "--model", "popularity") == 0
    assert run("fit", "plays.parquet", "own", "--model", "ease") == 0
    swapped = ("--history", "plays.parquet", "--user", "item_id", "--item", "user_id")
    assert "swapped" in refused(capsys, "recommend", "own", *swapped)
