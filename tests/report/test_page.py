"""The HTML page: well-formed, on its own, escaped, labelled, without empty parts."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from recae import ConfigError, compare
from recae.errors import StorageError
from recae.report import Entry, Published, html
from recae.report.figures import report_charts

ALL_FIGURES = [
    "forest",
    "pairs",
    "time",
    "coverage-0",
    "history",
    "popularity",
    "curves-0",
    "tuning",
]


def figures(page) -> list[str]:
    return [node.attributes["id"].removeprefix("figure-") for node in page.all("figure")]


def test_everything_that_is_known_has_its_figure(page, full: list[Entry]) -> None:
    tree = page(full, title="Three models", notes=["One.", "Two."])
    assert figures(tree) == ALL_FIGURES
    assert tree.all("title")[0].text == tree.all("h1")[0].text == "Three models"
    assert [p.text for p in tree.all("main")[0].children[1:3]] == ["One.", "Two."]
    facts = {
        node.all("dt")[0].text: node.all("dd")[0].text for node in tree.all("dl")[0].all("div")
    }
    assert facts == {
        "models": "3",
        "seeds": "2",
        "sorted by": "ndcg@5",
        "users with a target": "40",
        "items": "50",
        "targets": "tttttttt",
        "histories": "hhhhhhhh",
        "masks": "mmmmmmmm",
        "commit": "c0ffee",
        "machine": "a machine",
        "measured": "2026-01-01 to 2026-01-03",
        "software": "python 3.11, recae 0.1, torch 2.4",
    }


def test_what_is_not_known_is_left_out(page, make) -> None:
    assert figures(page([make("a", [0.5, 0.7])])) == ["forest"]
    assert figures(page([make("a", [0.5, 0.7]), make("b", [0.4, 0.6])])) == ["forest", "pairs"]
    nothing = page([make("a", [np.nan, np.nan])])
    assert figures(nothing) == [] and nothing.all("tbody")[0].text.count("–") == 1


@pytest.mark.parametrize(
    ("lost", "gone"),
    [
        ({"fit_seconds": ()}, "time"),
        ({"epochs": ()}, "curves-0"),
        ({"epochs": [{"number": 1, "loss": 0.5, "metrics": {}}]}, "curves-0"),
        ({"epochs": [{"number": 1, "loss": None, "metrics": {"ndcg@5": None}}]}, "curves-0"),
        ({"trials": ()}, "tuning"),
        ({"trials": [{"params": {}, "value": None, "seconds": None}]}, "tuning"),
    ],
)
def test_a_figure_goes_with_what_it_shows(full: list[Entry], lost: dict, gone: str) -> None:
    keys = [chart.key for chart in report_charts([replace(e, **lost) for e in full], "ndcg@5")]
    assert keys == [name for name in ALL_FIGURES if name not in (gone, "pairs")]


def test_one_entry_may_lack_what_others_have(page, full: list[Entry]) -> None:
    bare = replace(full[1], fit_seconds=(), epochs=(), trials=(), published={}, peak_gb=None)
    bare = replace(bare, reports=[replace(r, users=r.users.iloc[:, :0]) for r in bare.reports])
    tree = page([full[0], bare, full[2]])
    assert figures(tree) == ALL_FIGURES
    texts = [node.text for node in tree.all("figure", id="figure-time")[0].all("text")]
    assert "best" in texts and "middle" not in texts


def test_the_table(tables, full: list[Entry]) -> None:
    (table,) = tables(full).all("table", class_="sortable")
    heads = table.all("thead")[0].all("th")
    assert [head.all("button")[0].text for head in heads] == [
        *("model", "seeds", "ndcg@5", "ndcg@5 published", "ndcg@5 difference"),
        *("recall@5", "coverage@5", "fit s", "tuning s", "memory GB", "tuned"),
    ]
    assert [head.attributes.get("aria-sort") for head in heads][:4] == [
        None,
        None,
        "descending",
        None,
    ]
    assert all(head.attributes["scope"] == "col" for head in heads)
    rows = table.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == ["best", "middle", "least"]
    mean = np.mean([r.per_user["ndcg@5"].mean() for r in full[0].reports])
    cells = rows[0].all("td")
    assert float(cells[1].attributes["data-value"]) == pytest.approx(mean)
    assert cells[1].text.startswith(f"{mean:.4f} ± ")
    assert cells[2].text == "0.45001" and cells[2].all("sup")[0].text == "1"  # note 1
    assert cells[3].text == f"{mean - 0.45:+.4f}".replace("-", "−")
    assert rows[1].all("td")[2].text == "(0.4500)2"  # not comparable
    assert cells[6].text == "2.00"  # the median of 1 and 3 seconds
    notes = [item.text for item in tables(full).all("ol")[0].all("li")]
    assert notes == [
        "their split. Read in: A paper, table 1",
        "not comparable: their split. Read in: A paper, table 1",
    ]


def test_a_published_figure_of_another_metric_stands_below_ours(tables, full: list[Entry]) -> None:
    told = {"recall@5": Published(0.25, "B paper", note="a note"), "absent@5": Published(1, "x")}
    theirs = full[1].published | {"recall@5": Published(0.3, "B paper", False)}
    entries = [replace(full[0], published=told), replace(full[1], published=theirs), full[2]]
    tree = tables(entries)
    (table,) = tree.all("table", class_="sortable")
    heads = [head.text for head in table.all("thead")[0].all("th")]
    assert [head for head in heads if "recall" in head] == ["recall@5"]
    column = heads.index("recall@5") - 1
    cells = [row.all("td")[column] for row in table.all("tbody")[0].all("tr")]
    below = [[(s.own, s.all("a")[0].text) for s in cell.all("small")[1:]] for cell in cells]
    assert below == [[(" 0.2500", "3")], [(" (0.3000)", "4")], []]  # and the numbers of their notes
    mean = np.mean([r.per_user["recall@5"].mean() for r in full[0].reports])
    assert float(cells[0].attributes["data-value"]) == pytest.approx(mean)  # sorted by ours
    assert [item.text for item in tree.all("ol")[0].all("li")] == [
        "not comparable: their split. Read in: A paper, table 1",
        "their split. Read in: A paper, table 1",
        "a note. Read in: B paper",
        "not comparable: another protocol. Read in: B paper",
    ]
    assert "◇ published figure." in tree.all("p", class_="legend")[0].text
    assert "◇" not in tables(full).all("p", class_="legend")[0].text


def test_the_matrix_says_who_is_better(tables, make) -> None:
    up = [0.5 + 0.01 * n for n in range(20)]
    entries = [make("low", [v - 0.3 for v in up]), make("high", up), make("same", up)]
    (figure,) = tables(entries).all("figure", id="figure-pairs")
    cells = [
        [cell.text for cell in row.all("td")]
        for row in figure.all("table", class_="matrix")[0].all("tbody")[0].all("tr")
    ]
    assert cells == [["", "·", "▲"], ["·", "", "▲"], ["▼", "▼", ""]]  # high, same, low
    hint = figure.all("td", class_="better")[0].attributes["title"]
    assert re.match(r"high .*low: \+0\.3000 \[0\.3000, 0\.3000\], p <0\.001", hint)
    again = figure.all("td", class_="worse")[0].attributes["title"]
    assert re.match(r"low .*high: −0\.3000 \[−0\.3000, −0\.3000\], p <0\.001", again)


EVIL = """</title></style><script>alert("1")</script><img src=x onerror='a()'>&lt;\x00\u202e"""


def test_every_text_is_escaped(page, full: list[Entry]) -> None:
    def evil(entry: Entry, number: int) -> Entry:
        name = f"{number} {EVIL}"
        reports = [
            replace(
                r, model=EVIL, provenance=r.provenance | {"machine": EVIL, "params": {EVIL: EVIL}}
            )
            for r in entry.reports
        ]
        return replace(
            entry,
            name=name,
            reports=[
                replace(r, per_user=r.per_user.assign(**{EVIL: 0.5}), catalogue={"coverage@5": 0.1})
                for r in reports
            ],
            published={"ndcg@5": Published(0.4, EVIL, False, EVIL)},
            provenance={EVIL: EVIL, "commit": EVIL},
            epochs=[{"number": n, "metrics": {EVIL: 0.1 * n}} for n in (1, 2)],
            trials=[{"params": {EVIL: EVIL}, "value": 0.1, "seconds": 1, "state": EVIL}],
        )

    entries = [evil(entry, number) for number, entry in enumerate(full)]
    tree = page(entries, title=EVIL, notes=EVIL)
    shown = EVIL.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
    assert len(tree.all("script")) == len(tree.all("style")) == 1 and not tree.all("img")
    assert tree.all("h1")[0].text == shown
    assert tree.all("table", class_="sortable")[0].all("a")[0].text == f"0 {shown}"
    assert len(figures(tree)) == len(ALL_FIGURES)


def test_many_seeds_many_models_one_page(
    page, tmp_path: Path, full: list[Entry], monkeypatch
) -> None:
    monkeypatch.setattr("recae.report.pairs.compare", partial(compare, resamples=2))
    reports = [full[0].reports[0]] * 7
    epochs = [{"number": n, "loss": 1.0, "metrics": {"ndcg@5": 0.001 * n}} for n in range(1, 201)]
    trials = [{"params": {"l2": n}, "value": 0.01 * n, "seconds": 3.0} for n in range(50)]
    entries = [
        replace(full[0], name=f"a model with a name of its own {n}", reports=reports, epochs=epochs)
        for n in range(30)
    ]
    tree = page([replace(entry, trials=trials) for entry in entries])
    assert (tmp_path / "page.html").stat().st_size < 2_000_000
    (square,) = tree.all("table", class_="matrix")
    assert len(square.all("td", class_="not-settled")) == 30 * 29
    (curves,) = tree.all("figure", id="figure-curves-0")
    lines = [path for path in curves.all("path") if path.attributes.get("stroke-width") == "1.8"]
    assert len(lines) == 8  # no more can be told apart


def test_marks_say_their_numbers_and_their_texts_are_texts(page, full: list[Entry]) -> None:
    (figure,) = page(full).all("figure", id="figure-forest")
    hints = [title.text for group in figure.all("g") for title in group.all("title")]
    mean = full[0].value("ndcg@5")
    assert any(hint.startswith(f"best: {mean:.4f} [") for hint in hints)
    texts = [node.text for node in figure.all("text")]
    assert f"best   {mean:.4f}" in texts and "ndcg@5" in texts
    assert {"#1b1f24", "#57606a"} >= {node.attributes["fill"] for node in figure.all("text")}


def test_without_matplotlib_it_has_the_tables(page, full: list[Entry], monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    tree = page(full)
    assert figures(tree) == ["pairs", "history", "popularity"] and not tree.all("svg")
    assert "recae[plot]" in tree.all("main")[0].text
    assert tree.all("table", class_="sortable")


def test_it_is_written_whole_or_not_at_all(make, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(StorageError, match="absent .*exist"):
        html([make("a", [0.5])], tmp_path / "absent" / "page.html")
    with pytest.raises(StorageError, match="directory"):
        html([make("a", [0.5])], tmp_path)
    with pytest.raises(ConfigError, match="metric .*'mrr'"):
        html([make("a", [0.5])], path, metric="mrr", overwrite=True)

    def full_disk(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(StorageError, match="No space .*nothing"):
        html([make("a", [0.5])], path, overwrite=True)
    monkeypatch.undo()
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert html([make("a", [0.5])], str(path), overwrite=True) == path and path.read_text() != "old"


def test_the_same_entries_give_the_same_page(page, full: list[Entry], tmp_path: Path) -> None:
    first = html(full, tmp_path / "a.html").read_bytes()
    assert html(reversed(full), tmp_path / "b.html").read_bytes() == first


def test_entries_of_unknown_training_are_left_out_of_popularity(full, tmp_path) -> None:
    """Lists of another system need not say what it was trained on."""
    (first, *_), rest = full[0].reports, full[1:]
    unknown = replace(first, items=first.items.drop(columns="training_users"))
    path = html([replace(full[0], reports=[unknown]), *rest], tmp_path / "a.html")
    assert "by popularity" in path.read_text()
