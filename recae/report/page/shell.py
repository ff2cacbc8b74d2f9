"""The frame of a page that fetches nothing and runs nothing but its own style and script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from recae.report.page.elements import Markup, element


def resource(package: str, name: str) -> str:
    """The text of a style or a script that lies in a package."""
    return (files(package) / name).read_text(encoding="utf-8").strip()


def document(title: str, body: Markup, style: str, script: str) -> str:
    """A whole HTML document. Nothing is fetched, and no style or script runs but these two,
    whatever a name contains."""
    allowed = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=allowed),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(style)),
    )
    page = element("body", body, element("script", Markup(script)))
    return f"<!doctype html>\n{element('html', head, page, lang='en')}\n"


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"
