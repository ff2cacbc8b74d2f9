"""Reads the results of queries: cursors of DuckDB, ADBC and DB-API drivers, results of SQLAlchemy.

They are known by what they can do: none of these libraries is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa

from recae.errors import DataError, RecaeError

ROWS = 1 << 16
"""Rows that are fetched at a time where they come as Python objects."""

ARROW = ("to_arrow_reader", "fetch_record_batch")
"""Methods that give the rows of a cursor as a reader: of DuckDB since 2.0, of ADBC and before."""


def is_cursor(value: Any) -> bool:
    """Whether a value names its columns and gives its rows by `fetchmany`."""
    fetch = getattr(type(value), "fetchmany", None)
    if not callable(fetch) or inspect.iscoroutinefunction(fetch):
        return False
    return hasattr(value, "description") or hasattr(value, "keys")


def cursor_columns(value: Any) -> list[str]:
    """The names of the columns of a cursor or result; no row is fetched.

    Raises DataError if there is no result, and if it is known that rows were fetched before.
    """
    with fetching(value):
        if hasattr(type(value), "keys"):  # SQLAlchemy
            names = list(map(str, value.keys()))
        else:
            names = [str(column[0]) for column in value.description or ()]
        if not names:
            raise unreadable(value, "no query was executed, or its result has no columns")
        if fetched := getattr(value, "rownumber", None):
            raise unreadable(value, f"{fetched:,} rows were fetched before")
    return names


def has_arrow(value: Any) -> bool:
    """Whether a cursor gives its rows as Arrow."""
    return any(hasattr(type(value), method) for method in ARROW)


def cursor_reader(value: Any) -> pa.RecordBatchReader:
    """The rows of a cursor that gives Arrow. Raises DataError if its result is closed."""
    method = next(method for method in ARROW if hasattr(type(value), method))
    with fetching(value):
        if (rows := getattr(value, method)()) is None:  # DuckDB 2.0
            raise unreadable(value, "all rows were fetched before")
        return rows.to_reader() if isinstance(rows, pa.Table) else rows


def cursor_rows(
    value: Any, names: list[str], columns: list[str], rows: int = ROWS
) -> Iterator[dict[str, pd.Series[Any]]]:
    """Some of the columns `names`, `rows` rows at a time.

    Raises DataError for rows that are neither mappings nor tuples of all columns.
    """
    places = {name: names.index(name) for name in columns}
    while True:
        with fetching(value):
            some = list(value.fetchmany(rows))
            if not some:
                return
            keys: Mapping[str, Any] = places
            if isinstance(some[0], Mapping):
                keys = {name: name for name in columns}
            elif isinstance(some[0], str | bytes) or len(some[0]) != len(names):
                raise unreadable(value, f"a row is not a tuple of {len(names)} values: {some[0]!r}")
            block = {name: _column([row[key] for row in some]) for name, key in keys.items()}
        yield block


def _column(values: list[Any]) -> pd.Series[Any]:
    """Values as objects; as numbers, which are checked faster, only where all are of one type: a
    missing value would round the integers beside it."""
    kinds = set(map(type, values))
    if kinds == {float} or (kinds == {int} and max(map(abs, values)) < 2**63):
        return pd.Series(values, dtype=kinds.pop())
    return pd.Series(values, dtype=object)


@contextmanager
def fetching(value: Any) -> Iterator[None]:
    """Makes any error of another library, while it runs a query, a DataError."""
    try:
        yield
    except RecaeError:
        raise
    except Exception as error:
        raise unreadable(value, " ".join(str(error).split())) from error


def unreadable(value: Any, why: str) -> DataError:
    """Why a cursor or result cannot be read, and the remedy."""
    return DataError(
        f"the rows of {type(value).__module__}.{type(value).__name__} cannot be read: {why}; "
        "execute a query such as SELECT, and pass its result before anything is fetched from it"
    )
