"""Builds escaped HTML and SVG elements, and the document around them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

VOID = ("meta", "link", "input", "br", "line", "circle", "path", "polyline", "rect")
"""Elements without content: those of HTML have no end tag, those of SVG close themselves."""
NOT_SHOWN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
"""Characters that are not allowed in a document, and those that change the text direction."""


class Markup(str):
    """Text that is HTML already."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; children that are no Markup are escaped, and None is left out.

    An attribute is called as in HTML with _ for -, and class_ for class; None leaves it out.

    >>> element("td", "a < b", data_value=0.5, class_="number")
    '<td data-value="0.5" class="number">a &lt; b</td>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}/>" if name not in VOID[:3] else f"<{name}{written}>")
    return Markup(f"<{name}{written}>{together(*children)}</{name}>")


def together(*children: object) -> Markup:
    """One after the other: lists too, escaped unless they are Markup."""
    parts = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, list | tuple):
            parts.append(str(together(*child)))
        elif child is not None:
            parts.append(text(str(child)))
    return Markup("".join(parts))


def text(plain: str) -> str:
    """Escaped, for content and for attributes; `NOT_SHOWN` becomes U+FFFD."""
    return escape(NOT_SHOWN.sub("\ufffd", plain), quote=True)


def shortened(name: str, length: int) -> str:
    """A name in at most so many letters, the end replaced by three dots."""
    name = " ".join(name.split())
    return name if len(name) <= length else f"{name[: length - 1].rstrip()}…"


def figure_box(key: str, title: str, note: object, *content: object, wide: bool = False) -> Markup:
    """A figure with its caption."""
    return element(
        "figure",
        element("figcaption", element("h2", title), element("p", note)),
        content,
        id=f"figure-{key}",
        class_="wide" if wide else None,
    )


def scrolling(title: str, *children: object) -> Markup:
    """A box of its own to scroll in, by keyboard too."""
    return element("div", children, class_="scroll", tabindex=0, role="region", aria_label=title)


def table(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    summary: str = "The numbers",
) -> Markup:
    """A plain table of numbers that is folded: the first column names the row."""
    body = [
        element("tr", element("th", first, scope="row"), [element("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    plain = element(
        "table",
        element("thead", element("tr", [element("th", name, scope="col") for name in head])),
        element("tbody", body),
    )
    return element("details", element("summary", summary), scrolling(f"{title}: numbers", plain))


def resource(package: str, name: str) -> str:
    """The text of a style or a script in a package."""
    return (files(package) / name).read_text(encoding="utf-8").strip()


def document(title: str, body: Markup, style: str, script: str) -> str:
    """An HTML document that fetches nothing. Its security policy allows this style and this script
    and no other, whatever a name contains."""
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
