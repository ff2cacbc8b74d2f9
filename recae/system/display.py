"""How objects look in a notebook: HTML tables with escaped texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LEFT, RIGHT = "text-align: left", "text-align: right; white-space: nowrap"
MISSING = ("None", "<NA>")
"""What stands for no number in a column of numbers."""


def html_table(
    heading: str, head: Sequence[str], rows: Iterable[Sequence[object]], digits: str = ".4f"
) -> str:
    """A table as HTML, for `_repr_html_`: columns of numbers are aligned to the right.

    heading: the line above, which does not widen the table; head: the names of the columns, none if
    empty; digits: of floats. The colours are those of the notebook, light or dark.
    """
    given = [list(row) for row in rows]
    styles = [RIGHT if _are_numbers(column) else LEFT for column in zip(*given, strict=True)]
    styles = styles or [LEFT] * len(head)
    top = "".join(_cell("th", name, style) for name, style in zip(head, styles, strict=False))
    body = "".join(
        "<tr>"
        + "".join(
            _cell("td", _shown(value, digits, style), style)
            for value, style in zip(row, styles, strict=True)
        )
        + "</tr>"
        for row in given
    )
    return (
        f"<div><div>{escape(heading)}</div><table>"
        + (f"<thead><tr>{top}</tr></thead>" if top else "")
        + f"<tbody>{body}</tbody></table></div>"
    )


def html_folded(shown: str, summary: str, folded: str) -> str:
    """HTML with another part that a click unfolds."""
    return f"<div>{shown}<details><summary>{escape(summary)}</summary>{folded}</details></div>"


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


def _are_numbers(column: Sequence[object]) -> bool:
    """Whether a column has numbers, and otherwise only signs that there is none."""
    others = [value for value in column if not _is_number(value)]
    return len(others) < len(column) and all(str(value) in MISSING for value in others)


def _shown(value: object, digits: str, style: str) -> str:
    if not _is_number(value):
        return "" if style == RIGHT else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value != value else f"{value:{digits}}"
