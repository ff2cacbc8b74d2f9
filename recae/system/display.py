"""How objects look in a notebook: HTML tables with escaped texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

ONE_LINE = "; white-space: nowrap"
LEFT, RIGHT = "text-align: left", f"text-align: right{ONE_LINE}"
SHORT = 100
"""Characters of a caption that stay in one line, whatever the width of the table."""


def html_table(
    heading: str, head: Sequence[str], rows: Iterable[Sequence[object]], digits: str = ".4f"
) -> str:
    """A table as HTML, for `_repr_html_`: numbers are aligned to the right.

    heading: the caption; head: the names of the columns, none if empty; digits: of floats. The
    colours are those of the notebook, light or dark.
    """
    given = [list(row) for row in rows]
    first = given[0] if given else [""] * len(head)
    top = "".join(
        _cell("th", name, _style(value)) for name, value in zip(head, first, strict=False)
    )
    body = "".join(
        f"<tr>{''.join(_cell('td', _shown(value, digits), _style(value)) for value in row)}</tr>"
        for row in given
    )
    caption = LEFT + ONE_LINE if len(heading) <= SHORT else LEFT
    return (
        f'<table><caption style="{caption}">{escape(heading)}</caption>'
        + (f"<thead><tr>{top}</tr></thead>" if top else "")
        + f"<tbody>{body}</tbody></table>"
    )


def html_frame(page: str, height: int = 640) -> str:
    """A page of its own inside a notebook, which neither's styles nor scripts can leave."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" width="100%" '
        f'height="{height}" style="border: 0"></iframe>'
    )


def _cell(tag: str, text: str, style: str) -> str:
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _style(value: object) -> str:
    return RIGHT if _is_number(value) else LEFT


def _shown(value: object, digits: str) -> str:
    if not _is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value != value else f"{value:{digits}}"
