"""A map as one HTML page that needs nothing else."""

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
from recae.apply.maps.neighbours import chosen
from recae.apply.maps.result import Map
from recae.apply.maps.words import coherence_told, heading, model_name
from recae.report.page.elements import NOT_SHOWN, Markup, element
from recae.report.page.shell import document, resource
from recae.system.files import atomic_file, check_target

UNITS = 1 << 16
"""Positions are whole numbers below this: a thousandth of the width of any screen."""
NEIGHBOURS = 6
"""Nearest others that the page tells of each point."""
SPREAD = 400
"""Points that come first among the labels, as they stand for all regions."""


def page(drawn: Map, path: str | Path, colour: str | None, title: str | None) -> Path:
    """Writes the page of a map; see `Map.html`."""
    target = check_target(path)
    name = title or heading(drawn)
    body = element(
        "main",
        element("h1", name),
        element("p", _about(drawn, colour)),
        element("div", _field(drawn), _aside(drawn, colour), class_="board"),
        element("noscript", element("p", "This map is drawn by a script of its own.")),
        class_="map",
    )
    data = element("script", Markup(_json(_content(drawn))), type="application/json", id="points")
    style = (
        resource("recae.report.page", "page.css") + "\n" + resource("recae.apply.maps", "page.css")
    )
    script = "\n".join(resource("recae.apply.maps", name) for name in ("draw.js", "hands.js"))
    whole = document(name, Markup(body + data), style, script)
    with atomic_file(target) as part:
        part.write_text(whole, encoding="utf-8")
    return Path(path)


def _about(drawn: Map, colour: str | None) -> str:
    """What was drawn, what was left out, and how good it is."""
    said = drawn.provenance
    model = model_name(drawn)
    parts = [f"{model}: {said['vectors']}" if model else f"{said['dimensions']} dimensions"]
    if said.get("removed"):
        parts.append(f"without what goes with {said['removed']}")
    if said.get("left_out"):
        least = "min_users" if drawn.what == "item" else "min_items"
        other = "users" if drawn.what == "item" else "items"
        parts.append(
            f"{said['left_out']:,} {drawn.what}s of fewer than {said[least]} {other} left out"
        )
    if drawn.method == "pca":
        shares = said["explained_variance"]
        parts.append(f"axes explain {shares[0]:.0%} and {shares[1]:.0%} of the variance")
    parts.append(f"trustworthiness {said['trustworthiness']:.3f} at {said['neighbours']}")
    told = coherence_told(drawn, colour)
    return "; ".join([*parts, told] if told else parts) + "."


def _field(drawn: Map) -> Markup:
    label = (
        f"Map of {len(drawn.ids):,} {drawn.what}s. Arrow keys move it, plus and minus zoom, 0 "
        f"shows all, Enter names the {drawn.what} nearest to the middle, Escape lets go."
    )
    canvas = element("canvas", id="canvas", tabindex="0", role="application", aria_label=label)
    keys = (("in", "+", "Zoom in"), ("out", "−", "Zoom out"), ("all", "⤢", "Show all"))
    buttons = [
        element("button", sign, type="button", id=f"zoom-{key}", aria_label=what, title=what)
        for key, sign, what in keys
    ]
    tip = element("div", class_="tip", id="tip", hidden="")
    return element("div", canvas, tip, element("div", buttons, class_="zoom"), class_="field")


def _aside(drawn: Map, colour: str | None) -> Markup:
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
        "focus: arrows, + and −, 0 for all, Enter for the nearest to the middle."
    )
    return element("aside", search, look, details, element("p", help_text, class_="hint help"))


def _article(what: str) -> str:
    return f"an {what}" if what == "item" else f"a {what}"


def _content(drawn: Map) -> dict[str, Any]:
    """What the script draws: whole numbers, texts, and a list of colours."""
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
        "y": (UNITS - 1 - y).tolist(),  # upwards in a picture is downwards on a screen
        "ids": _ids(drawn),
        "titles": _shown(drawn.titles),
        "near": drawn.near[:, :NEIGHBOURS].tolist(),
        "order": order.tolist(),
        "colours": [_colour(*pair) for pair in zip(names, drawn.colours.values(), strict=True)],
        "light": {"groups": [*LIGHT, OTHER_LIGHT], "scale": SCALE[::-1]},
        "dark": {"groups": [*DARK, OTHER_DARK], "scale": SCALE[SKIPPED_IN_THE_DARK:]},
    }


def _ids(drawn: Map) -> list[str] | None:
    """Ids as texts, where titles are something else."""
    ids = [str(id) for id in drawn.ids]
    return None if ids == list(drawn.titles) else _shown(ids)


def _shown(texts: Iterable[str]) -> list[str]:
    """Texts without what no document may hold."""
    return [NOT_SHOWN.sub("\ufffd", text) for text in texts]


def _colour(name: str, colour: Groups | Amounts) -> dict[str, Any]:
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
    """JSON that ends no script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
