"""What the stores of SQL share: names in queries, kinds of columns, rows as histories."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recae.errors import ConfigError, DataError, StoreError
from recae.serve.stores.protocol import LIMIT, Id, checked_limit

Histories = dict[Id, list[Id]]
WORDS = {"int": "integers", "str": "text", "uuid": "UUIDs"}


@dataclass(frozen=True)
class Place:
    """A table or view, and its columns of users and items; `limit` is the most items of a history.

    Raises ConfigError for a name that no database has.
    """

    table: str
    user: str = "user_id"
    item: str = "item_id"
    limit: int = LIMIT

    def __post_init__(self) -> None:
        for name in (self.user, self.item, *self.parts):
            if not name or not name.isprintable():
                raise ConfigError(
                    f"{name!r} is no name of a table or column", parameter="table", value=name
                )

    @property
    def parts(self) -> list[str]:
        """The schema, if there is one, and the table."""
        return self.table.split(".")

    @property
    def sql(self) -> tuple[str, str, str]:
        """The table, the user and the item, quoted."""
        return ".".join(map(quoted, self.parts)), quoted(self.user), quoted(self.item)


def quoted(name: str) -> str:
    """An identifier of SQL.

    >>> quoted('odd"name')
    '"odd""name"'
    """
    return '"' + name.replace('"', '""') + '"'


def kind_of(type_name: str, known: dict[str, str], column: str, where: str) -> str:
    """The kind of a column: "int", "str" or "uuid". Raises DataError for another type."""
    if type_name not in known:
        raise DataError(
            f"{where}: the column {column} is of type {type_name}, and ids are integers, text or "
            "UUIDs. Make a view that casts it, and name the view"
        )
    return known[type_name]


def asked_for(users: Sequence[Id], kind: str, where: str) -> list[Any]:
    """The users that may be in a column of a kind. Raises DataError for integers that are asked for
    where the column has text, or the reverse."""
    here = "int" if isinstance(users[0], int) else "str"
    if (here == "int") != (kind == "int"):
        raise DataError(
            f"user ids are {WORDS[here]} here (first: {users[0]!r}), but those of {where} are "
            f"{WORDS[kind]}",
            parameter="users",
            value=users[0],
        )
    if kind == "int":
        return list(users)
    texts = [user for user in map(str, users) if "\0" not in user]  # no database has it in text
    return texts if kind == "str" else [text for text in texts if _is_uuid(text)]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def grouped(rows: Iterable[tuple[Any, Any]], place: Place, where: str) -> Histories:
    """Rows (user, item) as histories. Raises StoreError for missing items, integers that do not
    fit in 64 bits, and histories that are longer than the limit."""
    found: Histories = {}
    for user, item in rows:
        user, item = (str(v) if isinstance(v, uuid.UUID) else v for v in (user, item))
        if item is None or (isinstance(item, int) and not -(2**63) <= item < 2**63):
            fault = "is missing (NULL)" if item is None else f"{item} does not fit in 64 bits"
            raise StoreError(
                f"{where}: an item id of user {user!r} in the column {place.item} {fault}. "
                "Correct that row, or name a view without it"
            )
        found.setdefault(user, []).append(item)
    for user, items in found.items():
        checked_limit(user, items, place.limit, where)
    return found
