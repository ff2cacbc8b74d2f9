"""The document of results says what the kept results say, and nothing else."""

from __future__ import annotations

import json

import pytest

from evaluation import tables
from evaluation.kit.provenance import RESULTS
from evaluation.suites import published
from evaluation.suites.kept import names
from evaluation.suites.read import read_suite


def test_the_document_is_made_of_the_kept_results() -> None:
    assert tables.DOCUMENT.read_text(encoding="utf-8") == tables.document(), (
        "docs/results.md is older than evaluation/results/: python -m evaluation tables --write"
    )


@pytest.mark.parametrize("name", tables.with_results())
def test_the_report_of_a_suite_holds_what_its_files_hold(name: str) -> None:
    metric = read_suite(name).metric
    text = (RESULTS / name / "report.md").read_text(encoding="utf-8")
    kept = names(RESULTS / name)
    table = text.partition("## Each against the next")[0].splitlines()
    rows = {line.split("|")[1].partition("[")[0].strip(): line for line in table if line[:1] == "|"}
    for model in kept:
        seeds = json.loads((RESULTS / name / f"{model}.json").read_text())["reports"]
        values = [seed["metrics"][metric]["mean"] for seed in seeds]
        assert f"{sum(values) / len(values):.4f}" in rows[model].split("|")[2], model


def test_published_figures_stand_beside_ours() -> None:
    text = published.document(["gowalla"])
    row = next(line for line in text.splitlines() if line.startswith("| EASE | recall@20 "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:5] == [
        "0.176493",
        "0.176493 `ease-published`",
        "+0.000000",
    ]  # the public log, to 6 digits


def test_what_stops_a_training_is_no_part_of_a_models_name() -> None:
    told = "MultVAE(epochs=80, metric='ndcg@10', patience=6, mirror=False)"
    assert tables._code(told) == "`MultVAE(epochs=80, mirror=False)`"
    assert tables._code("Popularity()") == "`Popularity()`"
