"""Nothing that is there is lost: files that commands write, their endings, and what they read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from recae import cli


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.fixture
def model(folder: Path) -> Path:
    """A folder with a saved model, its data and a folder of entries."""
    settings = ("--model", "pure-svd", "--set", "latent=4", "--with-history", "-q")
    assert run("fit", "plays.parquet", "model", *settings) == 0
    return folder


EVALUATE = ("evaluate", "plays.parquet", "--models", "popularity", "-q")
TUNE = ("tune", "plays.parquet", "tuned", "--model", "pure-svd", "--trials", "1", "-q")
WRITERS = {
    "top.parquet": ("export", "model", "top.parquet", "-k", "2"),
    "top.csv": ("recommend", "model", "-k", "2", "--out", "top.csv"),
    "map.html": ("map", "model", "map.html", "--method", "pca"),
    "all.json": (*EVALUATE, "--out", "all.json"),
    "all.png": (*EVALUATE, "--plot", "all.png"),
    "all.html": (*EVALUATE, "--html", "all.html"),
    "trials.csv": (*TUNE, "--trials-out", "trials.csv"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_replaced_only_with_overwrite(
    model: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text("precious")
    before = set(os.listdir())
    assert run(*WRITERS[name]) == 4
    assert name in capsys.readouterr().err.splitlines()[-1]
    assert Path(name).read_text() == "precious" and set(os.listdir()) == before
    assert run(*WRITERS[name], "--overwrite") == 0
    assert Path(name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (4, ("export", "model", "plays.parquet", "--history", "plays.parquet")),
        (4, ("export", "model", "days/top.parquet", "--history", "days")),
        (4, ("export", "model", "model/items.parquet")),
        (4, ("export", "model", "top.parquet", "--history", "days", "--checkpoint", "days/parts")),
        (4, ("recommend", "model", "--out", "days/day.csv", "--history", "days")),
        (4, ("recommend", "model", "--out", "ids.csv", "--users-file", "ids.csv")),
        (4, ("recommend", "model", "--out", "ids.csv", "--items-file", "ids.csv")),
        (4, ("fit", "days", "days/model")),
        (4, ("fit", "days", "days")),
        (4, ("fit", "plays.parquet", "model", "--checkpoint", "model/run")),
        (4, (*TUNE[:2], "model", *TUNE[3:], "--plot", "model/trials.png")),
        (4, ("fit", "plays.parquet", "m", "--checkpoint", "plays.parquet")),
        (4, ("evaluate", "days", "--models", "popularity", "--entries", "days/entries")),
        (4, ("map", "model", "page.html", "--titles", "page.html")),
        (4, (*EVALUATE, "--html", "a.html", "--plot", "a.html")),
        (2, ("export", "model", "top.csv")),
        (2, ("export", "model", "top", "--checkpoint", "parts")),
        (4, ("export", "model", "days", "--history", "days")),
        (4, ("export", "model", "model")),
        (2, ("recommend", "model", "--out", "top.xlsx")),
        (2, (*EVALUATE, "--html", "a.txt")),
        (2, (*EVALUATE, "--plot", "a.svg")),
        (2, (*EVALUATE, "--out", "a.csv")),
        (2, (*TUNE, "--trials-out", "a.parquet")),
        (2, ("report", "entries", "--markdown", "a.html")),
    ],
)
def test_neither_an_input_nor_another_format_is_written(
    model: Path, code: int, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("days").mkdir()
    Path("days/day.parquet").write_bytes(Path("plays.parquet").read_bytes())
    for name in ("ids.csv", "page.html"):
        Path(name).write_text("1\n2\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    options = () if arguments[0] == "report" else ("--overwrite",)
    assert run(*arguments, *options) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_the_ending_decides_the_format(model: Path) -> None:
    for name in ("top.csv", "top.parquet", "top.PQ"):
        assert run("recommend", "model", "-k", "2", "--out", name, "-q") == 0
    first = pd.read_parquet("top.parquet")
    assert len(first) == 120 and first.equals(pd.read_parquet("top.PQ"))
    pd.testing.assert_frame_equal(pd.read_csv("top.csv"), first, check_dtype=False)


@pytest.mark.parametrize("command", [(*EVALUATE, "--plot", "a.png"), (*TUNE, "--plot", "a.png")])
def test_a_picture_without_matplotlib_is_refused_before_the_work(
    folder: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("recae.read_table", lambda *args, **options: pytest.fail("it was read"))
    before = set(os.listdir())
    assert run(*command) == 2
    assert "recae[plot]" in capsys.readouterr().err and set(os.listdir()) == before
