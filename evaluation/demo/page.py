"""The page of the demo: what was found, and links to what to try next."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from recae.report.markup import Markup, document, element

DOCS = Path(__file__).parents[2] / "docs"

NEXT = (
    ("Read your own table, and serve its recommendations", "tutorial-own-data.md", "recae fit"),
    ("Let recae find the best model for your data", "tune.md", "recae best"),
    ("Choose a model by accuracy and cost", "choose.md", "recae evaluate"),
    ("Give reasons for recommendations", "explain.md", "recae explain"),
    ("Draw the items as a map", "maps.md", "recae map"),
    ("Export the lists of all users every night", "nightly.md", "recae export"),
    ("Answer over HTTP", "serve.md", "recae serve"),
)
"""What to try next: its name, the page of the docs, and the command."""

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.number { font-variant-numeric: tabular-nums; text-align: right }
"""


def demo_page(
    out: Path,
    table: pd.DataFrame,
    said: Sequence[str],
    lists: Mapping[str, pd.DataFrame],
    files: Mapping[str, str],
) -> str:
    """The page as HTML, to be written to the folder `out`.

    table: the comparison; said: the paragraphs below it; lists: a table of titles for each heading;
    files: names of files in `out` and what they hold. Links are relative, and nothing is fetched.
    """
    tried = [
        element(
            "li",
            element("a", what, href=os.path.relpath(DOCS / page, out)),
            ": ",
            element("code", command),
        )
        for what, page, command in NEXT
    ]
    body = element(
        "main",
        element("h1", "The demo of recae"),
        _table(table.reset_index(names="model")),
        [element("p", text) for text in said],
        [(element("h2", heading), _table(frame)) for heading, frame in lists.items()],
        element("h2", "Files"),
        element("ul", [element("li", element("a", n, href=n), f": {w}") for n, w in files.items()]),
        element("h2", "What to try next"),
        element("ul", tried),
    )
    return document("The demo of recae", body, STYLE, "")


def _table(frame: pd.DataFrame) -> Markup:
    head = element("tr", [element("th", name, scope="col") for name in frame.columns])
    rows = [element("tr", [element("td", cell) for cell in row]) for row in frame.to_numpy()]
    return element("table", element("thead", head), element("tbody", rows))
