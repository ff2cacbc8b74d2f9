"""`recae report`, and what `recae evaluate` keeps for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import recae
from recae import cli

EVALUATE = ("evaluate", "plays.parquet", "--held-out", "0.2", "--metrics", "ndcg@5,recall@5", "-q")


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.fixture
def results(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Two models, evaluated and kept."""
    assert run(*EVALUATE, "--models", "popularity,ease", "--entries", "results") == 0
    capsys.readouterr()
    return folder / "results"


def test_evaluate_keeps_entries(results: Path) -> None:
    entries = recae.report.load_entries("results")
    assert [entry.name for entry in entries] == ["ease", "popularity"]
    data = recae.read_parquet("plays.parquet")
    split = recae.StrongGeneralization(held_out=0.2).split(data, seed=98765)
    report = recae.evaluate(recae.EASE().fit(split.train), split.test, ["ndcg@5", "recall@5"])
    assert entries[0].value("ndcg@5") == report["ndcg@5"]
    assert len(entries[0].fit_seconds) == 1 and entries[0].fit_seconds[0] > 0
    assert entries[0].provenance["data"] == "plays.parquet"
    assert entries[0].provenance["protocol"] == {"held_out": 0.2, "fold_in": 0.8, "seed": 98765}


def test_epochs_are_kept_and_the_page_shows_them(folder: Path) -> None:
    small = ("--set", "mult-vae.epochs=3", "--set", "mult-vae.latent=4")
    models = ("--models", "mult-vae,popularity", *small)
    assert run(*EVALUATE, *models, "--entries", "results", "--html", "page.html") == 0
    epochs = recae.report.Entry.load("results/mult-vae").epochs
    assert [epoch["number"] for epoch in epochs] == [1, 2, 3]
    assert all(0 <= value <= 1 for epoch in epochs for value in epoch["metrics"].values())
    page = Path("page.html").read_text()
    assert "Training: validation" in page and "Recall at 5 by popularity" in page


def test_the_report_is_markdown_on_stdout(results: Path, capsys) -> None:
    assert run("report", "results") == 0
    said = capsys.readouterr().out
    assert said == recae.report.markdown(recae.report.load_entries("results"))
    assert run("report", "results", "--metric", "recall@5", "--title", "Mine") == 0
    said = capsys.readouterr().out
    assert (
        said.startswith("# Mine\n\n| model      |")
        and said.splitlines()[2].split()[3] == "recall@5"
    )


def test_files_instead_of_stdout(results: Path, capsys) -> None:
    assert run("report", "results", "--html", "a.html", "--markdown", "a.md") == 0
    assert re.fullmatch(r".*2 models .*a\.html .*a\.md\n", capsys.readouterr().out)
    assert Path("a.md").read_text() == recae.report.markdown(recae.report.load_entries("results"))
    assert Path("a.html").read_text().startswith("<!doctype html>")
    assert run("report", "results", "--html", "b.html", "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_json(results: Path, capsys) -> None:
    assert run("report", "results", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    value = recae.report.Entry.load("results/ease").value("ndcg@5")
    assert told["ease"]["reports"][0]["metrics"]["ndcg@5"]["mean"] == value
    assert run("report", "results", "--json", "--html", "a.html") == 0
    assert json.loads(capsys.readouterr().out) == {
        "entries": ["ease", "popularity"],
        "paths": ["a.html"],
    }


def error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_mistakes(results: Path, capsys) -> None:
    assert run("report", "nowhere") == 4
    assert "folder nowhere" in error(capsys)
    assert run("report", "results/ease") == 4
    assert re.search("results/ease .*entry: .*folder", error(capsys))
    assert run("report", "results", "--metric", "ndgc@5") == 2
    assert "mean 'ndcg@5'?" in error(capsys)
    assert run("report", "results", "--html", "no/a.html") == 4
    assert "no/a.html" in error(capsys)
    (results / "ease" / "report-1.json").write_text("{}")
    assert run("report", "results") == 4
    assert "report-1.json" in error(capsys)


def test_results_are_replaced_only_on_demand(results: Path, capsys) -> None:
    more = ("--models", "ease", "--entries", "results")
    before = recae.report.Entry.load("results/ease").provenance
    assert run(*EVALUATE, *more) == 4
    assert "results/ease exists: pass --overwrite" in error(capsys)
    assert recae.report.Entry.load("results/ease").provenance == before
    assert run(*EVALUATE, *more, "--overwrite") == 0
    assert run(*EVALUATE, "--models", "item-knn", "--entries", "no/results") == 4
    assert "folder no/results" in error(capsys)


def test_results_of_other_data_stay_apart(results: Path, capsys, monkeypatch) -> None:
    def fit(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be fitted before that is known")

    monkeypatch.setattr(recae.ItemKNN, "fit", fit)
    assert run(*EVALUATE, "--models", "item-knn", "--entries", "results", "--seed", "1") == 3
    assert re.search("data .*changed", error(capsys))


def test_results_of_other_data_can_be_replaced(results: Path, capsys) -> None:
    more = ("--models", "popularity,ease", "--entries", "results", "--overwrite", "--seed", "1")
    assert run(*EVALUATE, *more) == 0
    found = recae.report.load_entries("results")
    assert [entry.provenance["protocol"]["seed"] for entry in found] == [1, 1]


def test_files_in_the_folder_of_results_do_not_matter(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results" / "page.html").write_text("")
    assert run(*EVALUATE, "--models", "popularity", "--entries", "results") == 0


def test_diversity_is_not_compared_under_other_vectors(folder: Path, capsys) -> None:
    start = ("evaluate", "plays.parquet", "--held-out", "0.2", "--metrics", "diversity@5")
    assert run(*start, "--models", "pure-svd,als") == 2
    assert re.search("diversity@5 .*item vectors", error(capsys))
