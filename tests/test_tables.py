"""The document of results says what the kept results say, and nothing else."""

from __future__ import annotations

import json

from evaluation import tables
from evaluation.provenance import RESULTS


def test_the_document_is_made_of_the_kept_results() -> None:
    assert tables.DOCUMENT.read_text(encoding="utf-8") == tables.document(), (
        "docs/results.md is older than evaluation/results/: python -m evaluation tables --write"
    )


def test_a_row_holds_what_its_file_holds() -> None:
    kept = json.loads((RESULTS / "ml1m-infae-ease.json").read_text())
    row = next(
        line for line in tables.ml1m().splitlines() if line.startswith("| `EASE(l2=1000.0)`")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{kept['test']['ndcg@10'][0]:.4f}"
    assert cells[3] == "0.2988"  # Sachdeva et al. 2022, table 1


def test_what_stops_a_training_is_no_part_of_a_models_name() -> None:
    told = "MultVAE(epochs=80, metric='ndcg@10', patience=6, mirror=False)"
    assert tables._code(told) == "`MultVAE(epochs=80, mirror=False)`"
    assert tables._code("Popularity()") == "`Popularity()`"
