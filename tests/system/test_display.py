"""What notebooks show: tables and pages that can be parsed, with the numbers of the object."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import recae
from recae.system.display import html_frame, html_table


def cells(html: str) -> list[list[str]]:
    """The rows of a table; what is not well-formed raises ParseError."""
    rows = ElementTree.fromstring(html).iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def test_texts_are_escaped() -> None:
    html = html_table("<script>", ("a&b",), [("<i>", 1234, 0.5, float("nan"), True)])
    assert "<script>" not in html and "<i>" not in html
    assert cells(html) == [["a&b"], ["<i>", "1,234", "0.5000", "", "True"]]
    assert html_frame('<p class="a">').count('"<') == 0


def test_columns_are_aligned_as_one() -> None:
    html = html_table("", ("name", "value", "epochs"), [("a", 1.5, 3), ("b", "text", pd.NA)])
    styles = [cell.get("style", "") for cell in ElementTree.fromstring(html).iter("td")]
    assert ["right" in style for style in styles] == [False, False, True] * 2
    assert cells(html)[2] == ["b", "text", ""]
    assert cells(html_table("nothing", ("a", "b"), [])) == [["a", "b"]]


def test_objects(int_data: recae.Interactions) -> None:
    data = cells(int_data._repr_html_())
    assert [row[1] for row in data[1:]] == [
        f"{n:,}" for n in (int_data.n_users, int_data.n_items, int_data.nnz)
    ]
    split = recae.RandomSplit(0.2, 0.2).split(int_data)
    parts = cells(split._repr_html_())[1:]
    assert [row[0] for row in parts][0] == "train" and len(parts) == 5
    assert parts[0][3] == f"{split.train.nnz:,}" and parts[-1][3] == f"{split.test.target.nnz:,}"
    report = recae.Report("<b>", pd.DataFrame({"ndcg@5": [0.25, 0.75]}, index=[1, 2]))
    assert cells(report._repr_html_())[1] == ["ndcg@5", "0.5000", "", ""]


def test_models_show_settings_and_what_they_were_fitted_on(
    int_data: recae.Interactions, tmp_path: Path
) -> None:
    assert ["l2", "3"] in cells(recae.EASE(l2=3)._repr_html_())
    split = recae.data.splits.holdout_pairs(int_data, 0.3)
    model = recae.MultVAE(latent=2, hidden=(4,), epochs=2, metric="ndcg@5")
    shown = cells(model.fit(split.train, split.validation)._repr_html_())
    values = dict(shown)
    assert (values["hidden"], values["epochs"]) == ("(4,)", "2")
    assert values["users"] == f"{split.train.n_users:,}"
    assert values["interactions"] == f"{split.train.nnz:,}"
    best = max(epoch.metrics["ndcg@5"] for epoch in model.epochs_)
    assert float(values["Validation: ndcg@5"]) == pytest.approx(best, abs=1e-6)
    loaded = dict(cells(recae.load(model.save(tmp_path / "model"))._repr_html_()))
    assert {name: loaded.get(name) for name in values} == values


def test_a_comparison_shows_small_numbers_and_its_notes() -> None:
    found = recae.evaluation.comparison.paired.Comparison(
        {"a": ["<b>"], "p": [1.25e-9], "better": [""], "note": ["<i> was cut"]}
    )
    html = found._repr_html_()
    assert cells(html) == [["a", "p", "better"], ["<b>", "1.25e-09", ""]]
    assert "&lt;i&gt; was cut" in html and "<i>" not in html
    values = pd.DataFrame({"ndcg@5": [0.1, 0.4, 0.2]}, index=[1, 2, 3])
    reports = {"one": recae.Report("1", values), "two": recae.Report("2", values[::-1] / 2)}
    head, row = cells(recae.compare(reports, "ndcg@5")._repr_html_())
    assert head[:3] == ["metric", "a", "b"] and row[:3] == ["ndcg@5", "one", "two"]


def test_a_search_and_a_map(int_data: recae.Interactions) -> None:
    pytest.importorskip("optuna")
    split = recae.data.splits.holdout_pairs(int_data, 0.3)
    found = recae.tune(recae.EASE(), split.train, split.validation, "ndcg@5", trials=2)
    head, first, _ = cells(found._repr_html_())
    assert float(first[head.index("value")]) == pytest.approx(found.value, rel=1e-3)
    assert found.trials["epochs"].isna().all() and "epochs" not in head
    codes = np.random.default_rng(0).normal(size=(12, 3))
    drawn = recae.apply.maps.map_codes(codes, method="pca")
    assert re.match(r'<iframe srcdoc="&lt;!doctype html&gt;', drawn._repr_html_(), re.IGNORECASE)
