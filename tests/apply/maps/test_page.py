"""The page of a map: well-formed, on its own, escaped, with everything that it draws."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae

VOID = {"meta", "link", "input", "br"}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- not a comment",
    "\"'&amp;&lt;",
    "a\x00b\x1b[2J\u202eevil",
    "line\u2028separator",
    "{{ 7 * 7 }} $x^2$ \\frac",
    "x" * 5000,
]


class Tree(HTMLParser):
    """Every element with its attributes, the text of scripts, and a check that tags pair up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        if self.open and self.open[-1] == "style":
            self.styles.append(data)


def content(tree: Tree) -> dict:
    return json.loads(tree.scripts[0])


def read(drawn: recae.apply.maps.Map, folder: Path, **options) -> tuple[str, Tree]:
    text = drawn.html(folder / "map.html", overwrite=True, **options).read_text(encoding="utf-8")
    return text, Tree(text)


def test_everything_is_there(
    drawn: recae.apply.maps.Map, titles: pd.DataFrame, tmp_path: Path
) -> None:
    text, tree = read(drawn, tmp_path, title="Films")
    found = content(tree)
    assert "<h1>Films</h1>" in text and "<title>Films</title>" in text
    assert found["titles"] == list(drawn.titles) and found["ids"] == [str(i) for i in drawn.ids]
    assert sorted(found["order"]) == [*range(len(drawn.ids))]
    assert found["near"] == drawn.near[:, :6].tolist()
    x, y = np.array(found["x"]), np.array(found["y"])
    assert 0 <= min(x.min(), y.min()) and max(x.max(), y.max()) < found["units"]
    # The same places, but for scale, shift and the direction of y.
    assert np.corrcoef(x, drawn.positions[:, 0])[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(y, drawn.positions[:, 1])[0, 1] == pytest.approx(-1, abs=1e-6)
    genres, year, users = found["colours"]
    assert [genres["name"], year["name"], users["name"]] == ["genres", "year", "users"]
    said = titles.set_index("item_id").loc[drawn.ids, "genres"].str.replace("|", ", ").tolist()
    assert [set(genres["texts"][k].split(", ")) for k in genres["text"]] == [
        {*text.split(", ")} for text in said
    ]
    counts = pd.Series(genres["codes"]).value_counts()
    assert genres["counts"][: len(genres["groups"])] == [
        counts.get(code, 0) for code in range(len(genres["groups"]))
    ]
    assert year["values"] == [1960 + int(id) for id in drawn.ids]
    options = [made for tag, made in tree.elements if tag == "option"]
    assert [made["value"] for made in options] == ["genres", "year", "users"]
    _, other = read(drawn, tmp_path, colour="users")
    marked = [made["value"] for tag, made in other.elements if "selected" in made]
    assert marked == ["users"]


def test_it_fetches_nothing(drawn: recae.apply.maps.Map, tmp_path: Path) -> None:
    text, tree = read(drawn, tmp_path)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    for tag, made in tree.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        assert "src" not in made and made.get("href", "data:,").startswith("data:,")
        assert not any(name.startswith("on") or name == "style" for name in made)
    (policy,) = (made["content"] for _, made in tree.elements if made.get("http-equiv"))
    for kind, code in (("script", tree.scripts[1]), ("style", tree.styles[0])):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_titles_stay_text(codes: np.ndarray, tmp_path: Path) -> None:
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(60)]
    about = pd.DataFrame({"id": range(60), "title": texts, "<b>kind</b>": texts})
    drawn = recae.apply.maps.map_codes(codes, about=about, method="pca")
    text, tree = read(drawn, tmp_path, title=HOSTILE[0])
    assert len(tree.scripts) == 2 and "alert" not in tree.scripts[1]
    assert not any(tag in ("img", "b") for tag, _ in tree.elements)
    assert not re.search("[\x00-\x08\x1b\u202e]", text)
    found = content(tree)["titles"]
    assert found[:4] == HOSTILE[:4] and found[4] == "a\ufffdb\ufffd[2J\ufffdevil"
    assert found[5:8] == HOSTILE[5:]
    drawn.plot(tmp_path / "map.png", labels=30)  # $ begins no formula


def test_names_belong_to_what_they_label(drawn: recae.apply.maps.Map, tmp_path: Path) -> None:
    _, tree = read(drawn, tmp_path)
    ids = [made["id"] for _, made in tree.elements if "id" in made]
    assert len(ids) == len(set(ids))
    labelled = {made["for"] for tag, made in tree.elements if tag == "label"}
    assert labelled == {"search", "colour"} <= {*ids}
    for tag, made in tree.elements:
        if tag == "button":
            assert made["aria-label"]
    (canvas,) = (made for tag, made in tree.elements if tag == "canvas")
    assert canvas["tabindex"] == "0" and "36 items" in canvas["aria-label"]
    asked = set(re.findall(r'\$\("([\w-]+)"\)', tree.scripts[1]))
    assert asked - {"points"} <= {*ids}


def test_whole_or_not_at_all(drawn: recae.apply.maps.Map, tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text("before")
    with pytest.raises(recae.ConfigError, match="colour 'genre'.* mean 'genres'"):
        drawn.html(tmp_path / "map.html", colour="genre")
    with pytest.raises(recae.errors.StorageError, match="no .*exist"):
        drawn.html(tmp_path / "no" / "map.html")
    assert (tmp_path / "map.html").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["map.html"]
