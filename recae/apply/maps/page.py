"""A map as one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.maps.colours import (
    DARK,
    LIGHT,
    OTHER_DARK,
    OTHER_LIGHT,
    SCALE,
    SKIPPED_IN_THE_DARK,
    Amounts,
    Groups,
)
from recae.apply.maps.points import Points, chosen, heading, model_name, quality
from recae.report.markup import NOT_SHOWN, Markup, document, element, resource
from recae.system.files import PAGES, atomic_file, check_target

UNITS = 1 << 16
"""Positions are integers below this: a thousandth of the width of any screen."""
NEIGHBOURS = 6
"""Nearest points that the page lists for each point."""
SPREAD = 400
"""Points that are labelled first, spread over all regions."""


def page(
    drawn: Points, path: str | Path, colour: str | None, title: str | None, *, overwrite: bool
) -> Path:
    """Writes the page of a map; see `Map.html`."""
    target = check_target(path, overwrite=overwrite, endings=PAGES)
    text = content(drawn, colour, title)
    with atomic_file(target, overwrite=overwrite) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


def content(drawn: Points, colour: str | None, title: str | None) -> str:
    """The page of a map as HTML."""
    name = title or heading(drawn)
    body = element(
        "main",
        element("h1", name),
        element("p", _about(drawn, colour)),
        element("div", _field(drawn), _aside(drawn, colour), class_="board"),
        element("noscript", element("p", "This map needs JavaScript, which is part of the page.")),
        class_="map",
    )
    data = element("script", Markup(_json(_content(drawn))), type="application/json", id="points")
    style = resource("recae.report", "page.css") + "\n" + resource("recae.apply.maps", "page.css")
    script = "\n".join(resource("recae.apply.maps", name) for name in ("draw.js", "hands.js"))
    return document(name, Markup(body + data), style, script)


def _about(drawn: Points, colour: str | None) -> str:
    """The model, the counts of points left out, and the quality of the map."""
    facts = drawn.provenance
    model = model_name(drawn)
    parts = [f"{model}: {facts['vectors']}" if model else f"{facts['dimensions']} dimensions"]
    if facts.get("removed"):
        parts.append(f"adjusted for {facts['removed']}")
    if facts.get("left_out"):
        least, other = ("min_users", "users") if drawn.what == "item" else ("min_items", "items")
        parts.append(
            f"{facts['left_out']:,} {drawn.what}s with fewer than {facts[least]} {other} left out"
        )
    if drawn.method == "pca":
        shares = facts["explained_variance"]
        parts.append(f"axes explain {shares[0]:.0%} and {shares[1]:.0%} of the variance")
    return "; ".join(parts + quality(drawn, colour)) + "."


def _field(drawn: Points) -> Markup:
    """The canvas with its buttons to zoom, which are labelled for screen readers."""
    label = (
        f"Map of {len(drawn.ids):,} {drawn.what}s. Arrow keys move it, plus and minus zoom, 0 "
        f"shows all, Enter selects the {drawn.what} nearest to the middle, Escape deselects."
    )
    canvas = element("canvas", id="canvas", tabindex="0", role="application", aria_label=label)
    keys = (("in", "+", "Zoom in"), ("out", "−", "Zoom out"), ("all", "⤢", "Show all"))
    buttons = [
        element("button", sign, type="button", id=f"zoom-{key}", aria_label=what, title=what)
        for key, sign, what in keys
    ]
    tip = element("div", class_="tip", id="tip", hidden="")
    return element("div", canvas, tip, element("div", buttons, class_="zoom"), class_="field")


def _aside(drawn: Points, colour: str | None) -> Markup:
    """The search, the choice of the colour, the details of a point and the help."""
    sought = "title" if _ids(drawn) else "id"
    search = element(
        "div",
        element("label", f"Find {_article(drawn.what)} by {sought}", for_="search"),
        element(
            "input",
            type="search",
            id="search",
            autocomplete="off",
            role="combobox",
            aria_expanded="false",
            aria_controls="found",
            aria_autocomplete="list",
        ),
        element("ul", id="found", class_="found", role="listbox", aria_label="Found", hidden=""),
        class_="search",
    )
    options = [
        element("option", name, value=name, selected="" if name == colour else None)
        for name in drawn.colours
    ]
    select = element("select", options, id="colour") if options else None
    look = element(
        "div",
        element("label", "Colour", for_="colour") if options else None,
        select,
        element("div", id="key"),
        class_="look",
    )
    details = element(
        "div",
        element("div", id="details", aria_live="polite"),
        element("p", f"Point at {_article(drawn.what)} or tap it.", class_="hint", id="hint"),
        class_="details",
    )
    help_text = (
        "Drag to move; wheel, pinch or + and − to zoom; double click zooms in. With the map in "
        "focus: arrows, + and −, 0 for all, Enter selects the nearest to the middle."
    )
    return element("aside", search, look, details, element("p", help_text, class_="hint help"))


def _article(what: str) -> str:
    return f"an {what}" if what == "item" else f"a {what}"


def _content(drawn: Points) -> dict[str, Any]:
    """The data of the script: integers, texts, and a list of colours."""
    low, high = drawn.positions.min(axis=0), drawn.positions.max(axis=0)
    span = max(float((high - low).max()), 1e-300)
    centred = (drawn.positions - (low + high) / 2) / span + 0.5
    x, y = np.round(centred.T * (UNITS - 1)).astype(np.int64)
    importance = drawn.importance
    first = chosen(drawn.positions, importance, min(SPREAD, len(drawn.ids)))
    names = _shown(drawn.colours)
    order = np.argsort(-importance, kind="stable")
    order = np.concatenate([first, order[~np.isin(order, first)]])
    return {
        "named": drawn.named,
        "units": UNITS,
        "x": x.tolist(),
        "y": (UNITS - 1 - y).tolist(),  # screens count from the top
        "ids": _ids(drawn),
        "titles": _shown(drawn.titles),
        "near": drawn.near[:, :NEIGHBOURS].tolist(),
        "order": order.tolist(),
        "colours": [_colour(*pair) for pair in zip(names, drawn.colours.values(), strict=True)],
        "light": {"groups": [*LIGHT, OTHER_LIGHT], "scale": SCALE[::-1]},
        "dark": {"groups": [*DARK, OTHER_DARK], "scale": SCALE[SKIPPED_IN_THE_DARK:]},
    }


def _ids(drawn: Points) -> list[str] | None:
    """Ids as texts, if they differ from the titles."""
    ids = [str(id) for id in drawn.ids]
    return None if ids == list(drawn.titles) else _shown(ids)


def _shown(texts: Iterable[str]) -> list[str]:
    """Texts without characters that HTML forbids."""
    return [NOT_SHOWN.sub("\ufffd", text) for text in texts]


def _colour(name: str, colour: Groups | Amounts) -> dict[str, Any]:
    """One colour as JSON for the script: codes of groups with their texts, or numbers where NaN is
    null."""
    if isinstance(colour, Groups):
        codes, texts = pd.factorize(np.array(colour.texts(), dtype=object))
        counts = np.bincount(colour.codes, minlength=len(colour.shown) + 1)
        return {
            "name": name,
            "groups": _shown(colour.shown),
            "counts": counts.tolist(),
            "codes": colour.codes.tolist(),
            "texts": _shown(texts),
            "text": codes.tolist(),
        }
    values = [
        None if not np.isfinite(value) else int(value) if value.is_integer() else float(value)
        for value in colour.values
    ]
    return {"name": name, "values": values, "logarithmic": colour.logarithmic}


def _json(content: Any) -> str:
    """JSON that cannot end the script element around it."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
