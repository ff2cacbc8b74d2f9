"""The Markdown of entries: aligned, in order, with numbers worked out by hand."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from recae import ConfigError
from recae.report import Entry, Published, markdown


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, rule left out; every line of a table must be equally long."""
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        lines = block.strip().splitlines()
        assert len({len(line) for line in lines}) == 1, block
        assert re.fullmatch(r"(\|-+:?)+\|", lines[1])
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in (lines[0], *lines[2:])]
        found.append([[cell.strip() for cell in row] for row in rows])
    return found


@pytest.fixture
def seeds(report):
    """An entry whose seeds have these means, on two users each."""

    def entry(name: str, *means: float, **more: Any) -> Entry:
        interval = {"ndcg@5": (means[0] - 0.05, means[0] + 0.05)}
        reports = [
            report({"ndcg@5": [m - 0.1, m + 0.1], "recall@5": [m / 2, m / 2]}, interval=interval)
            for m in means
        ]
        return Entry(name, reports, **more)

    return entry


def test_the_whole_page(seeds) -> None:
    entries = [
        seeds("pop", 0.2, fit_seconds=[0.25]),
        seeds(
            "vae",
            *(0.3, 0.4, 0.5),  # mean 0.4, deviations -0.1, 0, 0.1: sd = sqrt(0.02 / 2) = 0.1
            fit_seconds=[3.0, 100.0, 7.0],
            tuning_seconds=1234.4,
            peak_gb=1.5,
            published={"ndcg@5": Published(0.35, "A. Author 2020, table 2")},
        ),
        seeds(
            "ease",
            0.45,
            published={"ndcg@5": Published(0.5, "B. Author 2019", False, "other users.")},
        ),
    ]
    text = markdown(entries, title="Three", notes="What it is.")
    head, *pairs = tables(text)[1]
    assert head[:3] == ["model", "against", "difference"] and head[4] == "p"
    # Means over users and seeds of 0.45, 0.4 and 0.2; two users show nothing.
    assert [[*row[:3], *row[4:6]] for row in pairs] == [
        ["ease", "vae", "+0.0500", "1.000", "not settled"],
        ["vae", "pop", "+0.2000", "1.000", "not settled"],
    ]
    title, notes, table, means, heading, method, _, sources = text.split("\n\n")
    assert (title, notes) == ("# Three", "What it is.")
    assert table == (
        "| model |                           ndcg@5 | published ndcg@5 | difference |"
        "        recall@5 | fit s | tuning s | memory GB |\n"
        "|-------|---------------------------------:|-----------------:|-----------:|"
        "----------------:|------:|---------:|----------:|\n"
        "| ease  |          0.4500 [0.4000, 0.5000] |     (0.5000) [1] |  (−0.0500) |"
        "          0.2250 |       |          |           |\n"
        "| vae   | 0.4000 ± 0.1000 [0.2500, 0.3500] |       0.3500 [2] |    +0.0500 |"
        " 0.2000 ± 0.0500 |  7.00 |    1,234 |      1.50 |\n"
        "| pop   |          0.2000 [0.1500, 0.2500] |                  |            |"
        "          0.1000 | 0.250 |          |           |"
    )
    assert re.search("1 to 3 seeds.*95 %.*ndcg@5", means) and heading.startswith("## ")
    assert re.search("ndcg@5.*Wilcoxon.* 3 pairs .*Holm.* 5 %", method)
    assert re.fullmatch(
        r"\[1\] .*: other users\. .*: B\. Author 2019  \n\[2\] .*: A\. Author 2020, table 2\n",
        sources,
    )


def test_a_clear_difference_is_said_to_be_one(make) -> None:
    ahead, behind = [0.5 + 0.01 * n for n in range(20)], [0.3 + 0.009 * n for n in range(20)]
    text = markdown([make("behind", behind), make("ahead", ahead)])
    (_, row) = tables(text)[1]
    # All 20 differences have one sign: exact p = 2 / 2^20.
    assert [*row[:3], *row[4:6]] == ["ahead", "behind", "+0.2095", "<0.001", "better"]
    assert re.search("one pair .*Holm", text)


def test_order_and_columns(make) -> None:
    entries = [make("b", [0.2]), make("a", [0.2]), make("none", [float("nan")]), make("c", [0.9])]
    assert [row[0] for row in tables(markdown(entries))[0]] == ["model", "c", "a", "b", "none"]
    assert tables(markdown(entries))[0][-1] == ["none", "–"]


def test_the_metrics_can_be_chosen(report) -> None:
    entries = [
        Entry("x", [report({"ndcg@5": [0.9], "recall@5": [0.1]}, catalogue={"gini@5": 0.9})]),
        Entry("y", [report({"ndcg@5": [0.8], "recall@5": [0.2]}, catalogue={"gini@5": 0.8})]),
    ]
    assert tables(markdown(entries))[0][0] == ["model", "ndcg@5", "recall@5", "gini@5"]
    chosen = tables(markdown(entries, ["recall@5", "ndcg@5"]))[0]
    assert [row[:2] for row in chosen] == [["model", "recall@5"], ["y", "0.2000"], ["x", "0.1000"]]
    # The less concentrated lists come first; one number each, so there is nothing to pair.
    by_gini = markdown(entries, ["ndcg@5"], metric="gini@5")
    assert tables(by_gini) == [
        [["model", "gini@5", "ndcg@5"], ["y", "0.8000", "0.8000"], ["x", "0.9000", "0.9000"]]
    ]


def test_a_metric_that_some_lack(report) -> None:
    entries = [Entry("x", [report({"ndcg@5": [0.9]})]), Entry("y", [report({"recall@5": [0.2]})])]
    with pytest.raises(ConfigError, match="no metric"):
        markdown(entries)
    with pytest.raises(ConfigError, match="'y' .*ndcg@5.*: none"):
        markdown(entries, metric="ndcg@5")
    with pytest.raises(ConfigError, match="metric .*'ndgc@5'.* mean 'ndcg@5'"):
        markdown(entries, metric="ndgc@5")
    both = Entry("z", [report({"recall@5": [0.4], "ndcg@5": [0.3]})])
    head, *rows = tables(markdown([entries[0], both]))[0]
    assert head == ["model", "ndcg@5", "recall@5"]
    assert rows == [["x", "0.9000", ""], ["z", "0.3000", "0.4000"]]


def test_equal_footnotes_have_one_number(seeds) -> None:
    theirs = {"ndcg@5": Published(0.3, "A paper")}
    entries = [seeds(name, 0.2, published=theirs) for name in ("a", "b")]
    text = markdown(entries)
    assert text.count("Read in: A paper") == 1 and text.count("0.3000 [1]") == 2


def test_names_are_no_markup(make) -> None:
    name = "a|b `c` <script>alert(1)</script>\n# *d* [e](http://f) _g_ h_i $j$ ~~k~~ \\ & \u202el"
    text = markdown([make(name, [0.5])], title=name, notes=[name])
    assert (
        r"a\|b \`c\` \<script\>alert(1)\</script\> # \*d\* \[e\](http://f) \_g\_ h_i \$j\$ "
        r"\~\~k\~\~ \\ \& l" in text
    )
    assert "<script>" not in re.sub(r"\\.", "", text) and "\u202e" not in text
    assert len(tables(text)[0][1]) == 2


def test_wide_letters_take_two_columns(make) -> None:
    lines = markdown([make("自己符号化器", [0.5]), make("e\u0301ase", [0.4])]).splitlines()
    assert "| 自己符号化器 | 0.5000 |" in lines  # 12 columns of a terminal
    assert "| e\u0301ase         | 0.4000 |" in lines


def test_large_numbers_have_fewer_decimals(report) -> None:
    text = markdown([Entry("a", [report({"ndcg@5": [0.5], "popularity@5": [12345.678]})])])
    assert tables(text)[0][1] == ["a", "0.5000", "12,345.7"]


def test_one_metric_is_averaged_at_a_time(make, monkeypatch) -> None:
    """A report of many models asks for one mean often; it must not take all of them each time."""
    entries = [make("a", [0.2, 0.4]), make("b", [0.1, 0.2])]

    def everything(*_: object, **__: object) -> None:
        raise AssertionError("all metrics were averaged")

    monkeypatch.setattr(pd.DataFrame, "mean", everything)
    rows = tables(markdown(entries))[0][1:]
    assert [row[:2] for row in rows] == [["a", "0.3000"], ["b", "0.1500"]]
