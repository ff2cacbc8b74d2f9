"""The database that a URL names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recae.errors import ConfigError, unknown_option
from recae.scale.databases.duckdb_tables import DuckDBTables
from recae.scale.databases.postgresql_tables import PostgreSQLTables
from recae.scale.databases.redis_lists import PREFIX, RedisLists
from recae.serve.stores.tables import Place
from recae.serve.stores.urls import (
    check_redis_database,
    path_and_options,
    scheme_of,
    shown,
    taken,
    with_query,
)


def database_of(target: object) -> Any:
    """The database of a URL, which has not connected yet. Raises ConfigError."""
    scheme, colon, _ = target.partition(":") if isinstance(target, str) else ("", "", "")
    if not colon or not scheme:
        raise ConfigError(
            "a database is named by a URL such as duckdb:shop.duckdb?table=lists, not "
            f"{target!r}. Known: {', '.join(KINDS)}",
            parameter="target",
        )
    try:
        if scheme.lower() not in KINDS:
            raise unknown_option("scheme of a database", scheme, KINDS)
        return KINDS[scheme_of(target)](str(target))
    except ConfigError as error:
        raise ConfigError(str(error), parameter="target") from error.__cause__


def _duckdb(url: str) -> DuckDBTables:
    path, options = path_and_options(url, ("table",))
    return DuckDBTables(path, _place(options))


def _postgresql(url: str) -> PostgreSQLTables:
    options, rest = taken(url, ("table",))
    return PostgreSQLTables(with_query(url, rest), shown(url), _place(options))


def _redis(url: str) -> RedisLists:
    options, rest = taken(url, ("prefix",))
    if rest:
        raise unknown_option("option of a database", min(rest), ("prefix",))
    check_redis_database(url)
    return RedisLists(with_query(url, {}), shown(url), options.get("prefix", PREFIX))


KINDS: dict[str, Callable[[str], Any]] = {
    "duckdb": _duckdb,
    **dict.fromkeys(["postgresql", "postgres"], _postgresql),
    **dict.fromkeys(["redis", "rediss"], _redis),
}


def _place(options: dict[str, str]) -> Place:
    if "table" not in options:
        raise ConfigError("the URL of the database names no table: add ?table=NAME")
    place = Place(options["table"])
    if len(place.parts) > 2:
        raise ConfigError(f"{place.table!r} is neither a table nor a schema and a table")
    return place
