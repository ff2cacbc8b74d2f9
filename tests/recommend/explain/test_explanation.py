"""What a person reads: titles, text and HTML."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae import DataError, Interactions

X = (np.random.default_rng(2).random((30, 6)) < 0.5).astype(np.float32)
X[:, 0] = 1
DATA = Interactions.from_csr(sp.csr_matrix(X), items=[*"abcdef"])
TITLES = {"a": "Alien <1979>", "b": "Brazil", "c": "Casablanca"}


@pytest.fixture(scope="module")
def why() -> recae.Explanation:
    return recae.EASE(l2=2.0).fit(DATA).explain(["a", "b"], items=["c", "d"], top=2)


def test_a_frame_with_titles(why: recae.Explanation, tmp_path) -> None:
    plain = why.to_frame()
    assert plain["contribution"].tolist() == why.contributions["contribution"].tolist()
    table = pd.DataFrame({"item_id": [*TITLES], "title": [*TITLES.values()]})
    table.to_csv(tmp_path / "titles.csv", index=False)
    for titles in (TITLES, pd.Series(TITLES), table, tmp_path / "titles.csv"):
        frame = why.to_frame(titles)
        shown = [TITLES.get(item, item) for item in plain["item_id"]]
        assert frame["title"].tolist() == shown
        reasons = [TITLES[item] for item in plain["history_item_id"]]
        assert frame["history_title"].tolist() == reasons
        assert frame.drop(columns=["title", "history_title"]).equals(plain)
    assert why.titles is None  # the given one is not changed


def test_wrong_titles(why: recae.Explanation) -> None:
    for titles in (3, table := pd.DataFrame({"item_id": ["a"], "name": ["Alien"]})):
        with pytest.raises(DataError):
            why.to_frame(titles)
    assert len(table)


def test_text_and_html(why: recae.Explanation) -> None:
    titled = why.with_titles(TITLES)
    lines = str(titled).splitlines()
    assert lines[0].startswith("Casablanca") and lines[3].startswith("d")
    assert lines[-1] == why.method and len(lines) == 7
    for line, value in zip(lines[1:3], why.contributions["contribution"], strict=False):
        assert float(line.split()[0]) == pytest.approx(value, rel=1e-3)
    html = titled._repr_html_()
    assert "&lt;1979&gt;" in html and "<1979>" not in html
    assert "2 items" in repr(why)


def test_several_users_are_named_and_long_results_cut() -> None:
    model = recae.EASE(l2=2.0).fit(DATA)
    text = str(model.explain(DATA, top=1))
    assert "user 0: " in text and "more items" in text
    assert len(text.splitlines()) < 200


def test_nothing_to_show() -> None:
    nothing = recae.EASE(l2=2.0).fit(DATA).explain({}, items=["a"])
    assert str(nothing) and nothing._repr_html_() and len(nothing.to_frame(TITLES)) == 0
