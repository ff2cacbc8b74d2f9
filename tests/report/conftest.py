"""Entries written by hand, from which every figure can be worked out; pages as trees."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae

DATA = {"target": "t" * 8, "history": "h" * 8, "mask": "m" * 8}


def one_report(
    values: Mapping[str, Sequence[float]],
    *,
    catalogue: Mapping[str, float] | None = None,
    interval: Mapping[str, tuple[float, float]] | None = None,
    **provenance: Any,
) -> recae.Report:
    """A report on users 1, 2, ..., all on the same data unless said otherwise."""
    frame = pd.DataFrame(dict(values))
    frame.index = pd.Index(range(1, len(frame) + 1))
    return recae.Report(
        "Model(a=1)", frame, dict(catalogue or {}), dict(interval or {}), DATA | provenance
    )


@pytest.fixture
def report() -> Callable[..., recae.Report]:
    """`one_report`."""
    return one_report


@pytest.fixture
def full() -> list[recae.report.Entry]:
    """Three entries of which everything is known."""
    return [full_entry(name, place) for place, name in enumerate(("best", "middle", "least"))]


def full_entry(name: str, place: int, *, seeds: int = 2, users: int = 40) -> recae.report.Entry:
    rng = np.random.default_rng(place)
    index = pd.Index(range(users))
    reports = []
    for _ in range(seeds):
        values = np.clip(np.linspace(0.2, 0.8, users) - 0.1 * place + rng.normal(0, 0.02), 0, 1)
        items = pd.DataFrame(
            {
                "training_users": np.arange(50, 0, -1),
                "targets": 4,
                "hits@5": np.arange(50) % 3,
                "listed@5": 4,
            }
        )
        history = pd.DataFrame({"history": np.arange(users) + 1, "targets": 2}, index=index)
        reports.append(
            recae.Report(
                f"Model(a={place})",
                pd.DataFrame({"ndcg@5": values, "recall@5": values / 2}, index=index),
                {"coverage@5": 0.2 + 0.1 * place},
                {"ndcg@5": (float(values.mean()) - 0.03, float(values.mean()) + 0.03)},
                DATA
                | {
                    "users": users,
                    "items": 50,
                    "date": f"2026-01-0{place + 1}T10:00:00+00:00",
                    "machine": "a machine",
                    "versions": {"recae": "0.1", "python": "3.11", "torch": "2.4"},
                    "params": {"a": place},
                },
                users=history,
                items=items,
            )
        )
    return recae.report.Entry(
        name,
        reports,
        fit_seconds=[10.0**place, 10.0**place * 3][:seeds],
        tuning_seconds=100.0 + place,
        peak_gb=1.5,
        epochs=[
            {"number": n, "loss": 1 / n, "seconds": 1.0, "metrics": {"ndcg@5": 0.1 * n}}
            for n in (1, 2, 3)
        ],
        trials=[
            {"params": {"l2": 10}, "value": 0.3, "seconds": 5.0, "state": "complete"},
            {"params": {"l2": 20}, "value": None, "seconds": 2.0, "state": "failed"},
            {"params": {"l2": 30}, "value": 0.4, "seconds": 5.0, "state": "complete"},
        ],
        published={
            "ndcg@5": recae.report.Published(0.45, "A paper, table 1", place != 1, "their split")
        },
        provenance={"commit": "c0ffee", "command": "by hand"},
    )


Make = Callable[..., recae.report.Entry]


@pytest.fixture
def make() -> Make:
    """An entry of one report with one value per user."""

    def entry(name: str, values: Sequence[float], **more: Any) -> recae.report.Entry:
        return recae.report.Entry(name, [one_report({"ndcg@5": values})], **more)

    return entry


VOID = {"meta", "link"}


@dataclass
class Node:
    """An element of a parsed page."""

    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    own: str = ""

    def all(self, tag: str, **attributes: str) -> list[Node]:
        """The elements below of a tag, with these attributes (`_` for `-`, `class_`)."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        found = []
        for child in self.children:
            if child.tag == tag and wanted.items() <= child.attributes.items():
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        return self.own + "".join(child.text for child in self.children)

    @property
    def everything(self) -> list[Node]:
        return [self, *(node for child in self.children for node in child.everything)]


class Strict(HTMLParser):
    """Builds the tree, and fails on an element that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].own += data


def parsed(text: str) -> Node:
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert [node.tag for node in parser.open] == ["document"], "an element stays open"
    return parser.open[0]


@pytest.fixture
def page(tmp_path: Path):
    """The tree of the page of some entries."""

    def build(entries: list[recae.report.Entry], **options: object) -> Node:
        path = recae.report.html(entries, tmp_path / "page.html", overwrite=True, **options)  # type: ignore[arg-type]
        return check(parsed(path.read_text(encoding="utf-8")))

    return build


@pytest.fixture
def tables(page, monkeypatch: pytest.MonkeyPatch):
    """`page` without charts, which take most of its time."""
    monkeypatch.setattr("recae.report.page.can_draw", lambda: False)
    return page


def check(page: Node) -> Node:
    """What holds of every page."""
    ids = [node.attributes["id"] for node in page.everything if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in page.everything:
        for name, value in node.attributes.items():
            assert not name.startswith("on") and name != "style", (node.tag, name)
            if name in ("href", "src", "action", "data", "srcset", "xlink:href"):
                assert value == "data:," or value.removeprefix("#") in ids, value
            if name == "aria-labelledby":
                assert value in ids
    (style,), (script,) = page.all("style"), page.all("script")
    for code in (style.own, script.own):
        assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch|XMLHttp|innerHTML", code)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.all("meta")[1].attributes["content"]
    for svg in page.all("svg"):
        assert svg.attributes["role"] == "img" and svg.children[0].tag == "title"
        assert svg.children[0].attributes["id"] == svg.attributes["aria-labelledby"]
        assert svg.children[0].text
        numbers = re.findall(r"[-\d.]*(?:nan|inf)[-\d.]*", str(svg.everything), re.IGNORECASE)
        assert not [found for found in numbers if found in ("nan", "inf", "-inf")]
    for box in page.all("div", class_="scroll"):
        assert box.attributes["tabindex"] == "0" and box.attributes["aria-label"]
    for figure in page.all("figure"):
        assert figure.all("figcaption")[0].all("h2")[0].text
        assert figure.all("svg") or figure.all("td")  # never an empty box
    for table in page.all("table"):
        widths = {
            sum(child.tag in ("td", "th") for child in row.children) for row in table.all("tr")
        }
        assert len(widths) == 1
    assert page.all("html")[0].attributes["lang"] == "en"
    return page
