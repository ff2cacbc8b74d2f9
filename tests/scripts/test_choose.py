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


def test_a_figure_is_the_mean_of_its_seeds() -> None:
    kept = json.loads((RESULTS / "ml1m_infae" / "mult-vae.json").read_text(encoding="utf-8"))
    values = [report["metrics"]["ndcg@10"]["mean"] for report in kept["reports"]]
    assert len(values) > 1
    value, _, memory = choose.figures("ml1m_infae", "mult-vae")
    assert abs(float(value) - sum(values) / len(values)) < 0.00006
    assert abs(float(memory) / kept["peak_gb"] - 1) < 0.01
