"""The tables of docs/choose.md are those of the kept results."""

from __future__ import annotations

import json

from evaluation import choose
from evaluation.kit.provenance import RESULTS


def test_the_page_is_made_of_the_kept_results() -> None:
    page = choose.PAGE.read_text(encoding="utf-8")
    assert choose.filled(page) == page, (
        "docs/choose.md is older than evaluation/results/: python -m evaluation choose --write"
    )


def test_a_figure_is_of_all_seeds() -> None:
    kept = json.loads((RESULTS / "ml1m_infae" / "mult-vae.json").read_text(encoding="utf-8"))
    values = [report["metrics"]["ndcg@10"]["mean"] for report in kept["reports"]]
    assert len(values) == 3
    value, seconds, memory = choose.figures("ml1m_infae", "mult-vae")
    assert abs(float(value) - sum(values) / len(values)) < 0.00006
    assert abs(float(seconds) / sorted(kept["fit_seconds"])[1] - 1) < 0.01
    assert abs(float(memory) / kept["peak_gb"] - 1) < 0.01


def test_seconds_are_those_of_the_document_of_results() -> None:
    text = (RESULTS / "ml1m_infae" / "report.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    head = next(cells for cells in rows if cells[0].strip() == "model")
    column = [cell.strip() for cell in head].index("fit s")
    for name in ("elsa", "mult-vae", "rec-vae"):
        cells = next(cells for cells in rows if cells[0].strip() == name)
        assert choose.figures("ml1m_infae", name)[1] == cells[column].strip()
