"""What the databases of SQL share."""

from __future__ import annotations

from typing import Any

from recae.errors import StorageError
from recae.serve.stores.tables import Place

UNCHANGED = "The lists of an earlier load are unchanged: correct this, and load again"

MARK = "recae {"
"""How the comment of a table begins that `load_export` made."""


def check_found(name: str, place: Place, found: Any, overwrite: bool) -> bool:
    """Whether a table is there, which may be replaced. Raises StorageError if it may not.

    found: its comment and what it is ("table" or "view"), or None if there is nothing.
    """
    if found is None:
        return False
    comment, what = found
    if what != "table" or not str(comment or "").startswith(MARK):
        raise StorageError(
            f"{name} has a {what} {place.table} that recae did not load: name another table, or "
            f"drop it yourself",
            parameter="target",
            value=place.table,
        )
    if not overwrite:
        raise StorageError(
            f"{name} has the table {place.table} of an earlier load: pass overwrite=True to "
            "replace it, or name another table",
            parameter="overwrite",
            value=overwrite,
        )
    return True


def text_literal(text: str) -> str:
    """A text in SQL.

    >>> text_literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
