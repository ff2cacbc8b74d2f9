"""What notebooks show: tables and pages that can be parsed, with the numbers of the object."""

from __future__ import annotations

import re
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


def test_a_search_and_a_map(int_data: recae.Interactions) -> None:
    pytest.importorskip("optuna")
    split = recae.data.splits.holdout_pairs(int_data, 0.3)
    found = recae.tune(recae.EASE(), split.train, split.validation, "ndcg@5", trials=2)
    head, first, _ = cells(found._repr_html_())
    assert first[head.index("value")] == f"{found.value:.4f}"
    codes = np.random.default_rng(0).normal(size=(12, 3))
    drawn = recae.apply.maps.map_codes(codes, method="pca")
    assert re.match(r'<iframe srcdoc="&lt;!doctype html&gt;', drawn._repr_html_(), re.IGNORECASE)
