"""The files of the page and their headers: nothing from elsewhere, nothing inline, tags."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

from starlette.applications import Starlette
from starlette.testclient import TestClient

from recae.serve.pages import add_page, page_files

OUTSIDE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9]", re.IGNORECASE)
MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = Starlette()
    add_page(app)
    return TestClient(app)


def addresses() -> list[str]:
    return ["/", *(f"/page/{name}" for name in page_files() if name != "index.html")]


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_file_has_its_kind_and_strict_headers(client: TestClient) -> None:
    kinds = {"": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for address in addresses():
        answer = client.get(address)
        assert answer.status_code == 200
        ending = address.rpartition(".")[2] if "." in address else ""
        assert answer.headers["content-type"].partition(";")[0] == kinds[ending]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in str(policy)


@pytest.mark.parametrize("sent", ["{}", "W/{}", '"other", {}', "*"])
def test_an_unchanged_file_is_not_sent_again(client: TestClient, sent: str) -> None:
    for address in addresses():
        tag = client.get(address).headers["etag"]
        answer = client.get(address, headers={"If-None-Match": sent.format(tag)})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_other_files_and_methods_are_refused(client: TestClient) -> None:
    assert client.head("/").status_code == 200 and client.head("/").content == b""
    assert client.post("/").status_code == 405
    for path in ("/page/", "/page/index.html", "/page/none.js", "/page/..%2fpages.py", "/page.css"):
        assert client.get(path).status_code == 404, path


def test_nothing_comes_from_elsewhere_and_no_text_becomes_markup() -> None:
    for name, file in page_files().items():
        text = file.content.decode()
        assert not OUTSIDE.search(text), name
        if name.endswith(".js"):
            assert [word for word in MARKUP if word in text] == [], name


def test_the_markup_runs_and_styles_nothing_inline() -> None:
    files = page_files()
    tags = Tags(files["index.html"].content.decode()).found
    for tag, attributes in tags:
        assert tag != "style" and "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script":
            assert attributes["src"]
    named = [
        str(attributes.get("src") or attributes.get("href"))
        for tag, attributes in tags
        if tag in ("script", "link", "img")
    ]
    assert {name.removeprefix("page/") for name in named} <= set(files)
    imported = re.findall(
        r'from "\./([\w.]+)"', "".join(f.content.decode() for f in files.values())
    )
    assert set(imported) <= set(files)


def test_every_field_has_a_name_and_every_id_is_there_once() -> None:
    tags = Tags(page_files()["index.html"].content.decode()).found
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for relation in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
            assert attributes.get(relation) is None or attributes[relation] in ids
