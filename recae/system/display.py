"""How objects look in a notebook: HTML tables with escaped texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(heading: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML, for `_repr_html_`: numbers are aligned to the right.

    heading: the caption; head: the names of the columns, none if empty.
    """
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<table><caption style="text-align: left">{escape(heading)}</caption>'
        + (f"<thead><tr>{top}</tr></thead>" if top else "")
        + f"<tbody>{body}</tbody></table>"
    )


def html_frame(page: str, height: int = 640) -> str:
    """A page of its own inside a notebook, which neither's styles nor scripts can leave."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" width="100%" '
        f'height="{height}" style="border: 0"></iframe>'
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f'<td style="text-align: left">{escape(str(value))}</td>'
    shown = f"{value:,}" if isinstance(value, int) else "" if value != value else f"{value:.4f}"
    return f"<td>{shown}</td>"
