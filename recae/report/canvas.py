"""Draws with matplotlib without global state, and writes PNG and SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from recae.report.markup import NOT_SHOWN, Markup, element, together
from recae.system.files import PICTURES, atomic_file
from recae.system.machine import check_can_draw

DPI = 150
COLOURS = (
    "#0a5ea8",
    "#b24500",
    "#00705a",
    "#8b3a8f",
    "#7a5c00",
    "#b3265b",
    "#4c5560",
    "#2a6f97",
)
MARKS = ("o", "s", "D", "^", "v", "x", "+", "|")
DASHES = ("-", "--", ":", "-.", (0, (5, 5)), (0, (1, 2)), (0, (9, 3)), (0, (5, 2, 1, 2, 1, 2)))
"""The styles of the eight kinds of lines, which differ in more than colour."""
INK, SOFT, GRID, PAPER = "#1b1f24", "#57606a", "#e4e8ec", "#ffffff"
"""Colours of texts, of axes, of the grid and behind it. The style of a page turns these and
`COLOURS` into those of its dark mode."""
HINT = "hint:"
"""Begins the id of an artist whose text is shown where a page is pointed at."""


FALLBACKS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "IPAexGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Malgun Gothic",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
"""Fonts with the letters that DejaVu Sans lacks; those that a machine has are used."""

MISSING = "(?s).*([Gg]lyph.*missing from|does not support .* natively)"
"""The warnings of letters that no font has."""


def canvas(width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A figure of so many inches and its axes. Raises ConfigError without matplotlib."""
    check_can_draw()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, **options)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def readable(text: str) -> str:
    """A text without the characters that no picture and no document may hold."""
    return NOT_SHOWN.sub("\ufffd", text)


def hinted(artist: Any, hint: str) -> Any:
    """The artist, with a text that is shown where a page is pointed at."""
    artist.set_gid(HINT + readable(hint))
    return artist


def write(figure: Any, path: str | Path, *, overwrite: bool) -> Path:
    """Writes a PNG atomically. Returns the path."""
    with atomic_file(path, overwrite=overwrite, endings=PICTURES) as part, _no_warnings():
        figure.savefig(part, format="png", dpi=DPI)
    return Path(path)


def as_svg(figure: Any, key: str, title: str) -> Markup:
    """A figure as an SVG element for an HTML page, with the same bytes for the same figure.

    Texts stay texts. Ids begin with `key`, which differs between the figures of a page. Styles
    become attributes, because the security policy of a page forbids them, and what the page shows
    of colours is decided by its own style. title: read out in place of the picture.
    """
    import matplotlib

    # The figure of 72 dots an inch, so a unit of the SVG is a pixel of the page.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": key}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), _no_warnings():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    used = set(re.findall(r"(?:href=\"#|url\(#)([^)\"]+)", buffer.getvalue()))
    _, _, width, height = root.attrib["viewBox"].split()
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        [_converted(child, key, used) for child in root],
        role="img",
        aria_labelledby=f"{key}-title",
        width=width,
        height=height,
        viewBox=root.attrib["viewBox"],
        stroke_linejoin="round",
    )


def _converted(node: Any, key: str, used: set[str]) -> Markup | None:
    """An element of matplotlib's SVG as one of a page; None for what a page does not need."""
    tag = node.tag.rpartition("}")[2]
    if tag in ("metadata", "style"):
        return None
    children = [child for child in (_converted(c, key, used) for c in node) if child]
    mark = tag == "path" and node.attrib.get("id") in used  # looks as the places say that use it
    attributes = {} if mark else _presentation(node.attrib.get("style", ""))
    for name, value in node.attrib.items():
        name = name.rpartition("}")[2]
        if name == "id":
            if value in used:
                attributes["id"] = f"{key}-{value}"
            elif value.startswith(HINT):
                children.insert(0, element("title", value.removeprefix(HINT)))
        elif name == "href":
            attributes["href"] = f"#{key}-{value.removeprefix('#')}"
        elif name == "clip-path":
            attributes["clip-path"] = value.replace("url(#", f"url(#{key}-")
        elif name == "transform" and value.startswith("rotate(-0 "):
            continue
        elif name != "style":
            attributes[name] = _rounded(value)
    if tag in ("g", "defs") and not children:
        return None
    if tag == "g" and not attributes and not children[0].startswith("<title>"):
        return together(children)
    if tag == "path" and attributes.get("fill") == "none" and "stroke" not in attributes:
        return None
    return element(tag, node.text if tag == "text" else None, children, **attributes)


def _presentation(style: str) -> dict[str, object]:
    """The declarations of a style as attributes; of fonts the size and the weight."""
    found: dict[str, object] = {}
    for declaration in filter(None, style.split("; ")):
        name, _, value = declaration.partition(": ")
        if name.startswith("font"):
            size, weight = re.search(r"([\d.]+)px", value), re.search(r"\b(bold|[5-9]00)\b", value)
            found |= {"font-size": size[1]} if size else {}
            found |= {"font-weight": weight[1]} if weight else {}
        else:
            found[name] = value
    return found


def _rounded(value: str) -> str:
    """Numbers with two decimals, in one line."""

    def short(number: re.Match[str]) -> str:
        return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")

    return re.sub(r"-?\d+\.\d+", short, " ".join(value.split()))


@contextmanager
def any_letters() -> Iterator[None]:
    """Draws letters that matplotlib's own font does not have with a font of this machine that has
    them, and without a warning where there is none. Raises ConfigError without matplotlib."""
    check_can_draw()
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    family: list[str] = matplotlib.rcParams["font.family"]
    others = [name for name in FALLBACKS if name in installed]
    with matplotlib.rc_context({"font.family": [*family, *others]}), _no_warnings():
        yield


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppresses `MISSING`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=MISSING, append=False)
        yield
