"""HTML and SVG elements, in which every text that comes from outside is escaped."""

from __future__ import annotations

import re
from html import escape

VOID = ("meta", "link", "input", "br", "line", "circle", "path", "polyline", "rect")
"""Elements without content: those of HTML have no end tag, those of SVG close themselves."""
NOT_SHOWN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
"""What no document may hold, and what turns the direction of the text around it."""


class Markup(str):
    """Text that is HTML already."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; children that are no Markup are escaped, and None is left out.

    An attribute is called as in HTML with _ for -, and class_ for class; None leaves it out.

    >>> element("td", "a < b", data_value=0.5, class_="number")
    '<td data-value="0.5" class="number">a &lt; b</td>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{told}/>" if name not in VOID[:3] else f"<{name}{told}>")
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


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
