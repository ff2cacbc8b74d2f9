"""Opens the store that a URL names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from recae.data.ids import is_broken
from recae.errors import ConfigError, check_integer, check_number, check_option, explained
from recae.errors import unknown_option as unknown
from recae.serve.stores.duckdb_table import DuckDBDriver
from recae.serve.stores.guard import GuardedStore
from recae.serve.stores.parquet import ParquetHistories
from recae.serve.stores.postgresql import PostgreSQLDriver
from recae.serve.stores.protocol import LIMIT, HistoryStore
from recae.serve.stores.redis_lists import PREFIX, Layout, RedisDriver
from recae.serve.stores.tables import Place

StoreDriver = DuckDBDriver | PostgreSQLDriver | RedisDriver
TIMEOUT = 1.0
COLUMNS = ("user_column", "item_column", "limit")
REDIS = ("item_ids", "limit", "prefix", "timeout")


@explained
def open_store(url: str) -> HistoryStore:
    """The store of histories that a URL names.

        parquet:plays.parquet                           a file, or a folder of them
        duckdb:plays.duckdb?table=plays                 extra `duckdb`
        redis://:password@host:6379/0                   extra `redis`; lists `recae:history:USER`
        postgresql://user@host/database?table=plays     extra `postgresql`

    Tables have the columns `user_id` and `item_id`; `user_column=` and `item_column=` name others.
    Redis: `prefix=` of the keys; `item_ids=text` where item ids are text. `timeout=`: seconds of a
    call, 1 by default, of all but Parquet. `limit=`: the most items of a history, 100,000 by
    default; a longer one is a StoreError, because nothing is cut. docs/stores.md has more.

    Connections are made when they are needed, in each process. A server that is down is no error
    here, but a StoreError of `histories`. Raises ConfigError for an unknown scheme or option and a
    missing extra; DataError for a file, table or column that does not exist, or of a wrong type.

    >>> pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]}).to_parquet("plays.parquet")
    >>> recae.serve.open_store("parquet:plays.parquet").histories([1, 2])
    {1: [7, 8]}
    """
    scheme = scheme_of(url)
    with as_store_errors():
        if scheme == "parquet":
            path, user, item, limit = parquet_of(url)
            return ParquetHistories(path, user=user, item=item, limit=limit)
        driver, seconds = driver_of(url)
    store = GuardedStore(driver, seconds)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def scheme_of(url: object) -> str:
    """The scheme of the URL of a store, in lower case. Raises ConfigError for an unknown one."""
    scheme, colon, _ = url.partition(":") if isinstance(url, str) else ("", "", "")
    known = ["parquet", *DRIVERS]
    if isinstance(url, str) and (is_broken(url) or min(url, default=" ") < " "):
        raise ConfigError(
            "the URL of the store has control characters or half a surrogate pair",
            parameter="store",
        )
    if not colon or not scheme:
        raise ConfigError(
            f"a store is named by a URL such as parquet:plays.parquet, not {url!r}. "
            f"Known: {', '.join(known)}",
            parameter="store",
        )
    if scheme.lower() not in known:
        raise unknown("scheme of a store", scheme, known, parameter="store")
    return scheme.lower()


@contextmanager
def as_store_errors() -> Iterator[None]:
    """Makes `store` the parameter of a ConfigError of an option in a URL."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(str(error), parameter="store") from error.__cause__


def parquet_of(url: str) -> tuple[Path, str, str, int]:
    """The path, the columns of users and items, and the limit. Raises ConfigError."""
    path, options = path_and_options(url, COLUMNS)
    return path, *_columns(options), _limit(options)


def driver_of(url: str) -> tuple[StoreDriver, float]:
    """The driver of a URL, which has not connected yet, and its timeout. Raises ConfigError."""
    driver, options = DRIVERS[scheme_of(url)](url)
    text = options.get("timeout", str(TIMEOUT))
    try:
        return driver, check_number("timeout", float(text), above=0, high=60)
    except ValueError:
        raise ConfigError(f"timeout must be seconds > 0 and <= 60, not {text!r}") from None


def _duckdb(url: str) -> tuple[StoreDriver, dict[str, str]]:
    path, options = path_and_options(url, ("table", "timeout", *COLUMNS))
    return DuckDBDriver(path, _place(options)), options


def _redis(url: str) -> tuple[StoreDriver, dict[str, str]]:
    options, rest = taken(url, REDIS)
    if rest:
        raise unknown("option of a store", min(rest), REDIS)
    check_redis_database(url)
    item_ids = options.get("item_ids", "int")
    check_option("item_ids", item_ids, ("int", "text"))
    layout = Layout(options.get("prefix", PREFIX), item_ids, _limit(options))
    return RedisDriver(with_query(url, {}), shown(url), layout), options


def check_redis_database(url: str) -> None:
    """Raises ConfigError unless the path of the URL is the number of a database."""
    database = urlsplit(url).path.removeprefix("/")
    if not DATABASE.fullmatch(database):
        raise ConfigError(
            f"{database!r} is no database of Redis: it is a number from 0, as in redis://host/0"
        )


def _postgresql(url: str) -> tuple[StoreDriver, dict[str, str]]:
    options, rest = taken(url, ("table", "timeout", *COLUMNS))
    return PostgreSQLDriver(with_query(url, rest), shown(url), _place(options)), options


DRIVERS: dict[str, Callable[[str], tuple[StoreDriver, dict[str, str]]]] = {
    "duckdb": _duckdb,
    **dict.fromkeys(["redis", "rediss"], _redis),
    **dict.fromkeys(["postgresql", "postgres"], _postgresql),
}


def _place(options: dict[str, str]) -> Place:
    if "table" not in options:
        raise ConfigError("the URL of the store names no table: add ?table=NAME")
    return Place(options["table"], *_columns(options), limit=_limit(options))


def _columns(options: dict[str, str]) -> tuple[str, str]:
    return options.get("user_column", "user_id"), options.get("item_column", "item_id")


def _limit(options: dict[str, str]) -> int:
    text = options.get("limit", str(LIMIT))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
    return check_integer("limit", number, high=10**9)


def path_and_options(url: str, known: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """The path of `scheme:path?options`, and the options. Raises ConfigError."""
    where, _, query = url.partition(":")[2].partition("?")
    path = unquote(where.removeprefix("//"))
    if not path or "\0" in path:
        raise ConfigError(f"the URL {url!r} of a store names no path")
    options, rest = _split(query, known)
    if rest:
        raise unknown("option of a store", min(rest), known)
    return Path(path).expanduser(), options


def taken(url: str, known: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The options of a URL that are ours, and the others. Raises ConfigError."""
    try:
        query = urlsplit(url).query
    except ValueError:  # of a host such as [::1
        raise ConfigError("the host in the URL of the store is wrong") from None
    return _split(query, known)


def _split(query: str, known: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The options of a query that are known, and the others. Raises ConfigError for an option that
    is repeated or empty."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found or not value or "\0" in value:
            fault = "is given twice" if name in found else "has no value"
            raise ConfigError(f"the option {name} of the store {fault}")
        found[name] = value
    ours = {name: value for name, value in found.items() if name in known}
    return ours, {name: value for name, value in found.items() if name not in known}


def with_query(url: str, options: dict[str, str]) -> str:
    """The URL with these options in place of its own."""
    base = url.partition("?")[0]  # urlunsplit would make postgresql:/shop of postgresql:///shop
    return f"{base}?{urlencode(options)}" if options else base


HOST = re.compile(r"(\[[^\]]*\]|[^:,\[\]\s]*)(:(?P<port>[0-9]{0,5}))?")
DATABASE = re.compile(r"[0-9]{0,5}", re.ASCII)


def shown(url: str) -> str:
    """A URL for messages: without user, password and options. Raises ConfigError where these cannot
    be told from the host, without showing any of them.

    >>> shown("redis://me:secret@cache:6379/0?prefix=x")
    'redis://cache:6379/0'
    """
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    found = [HOST.fullmatch(host) for host in hosts.split(",")]
    wrong = any(one is None or not 0 < int(one["port"] or 1) < 65536 for one in found)
    if wrong or parts.fragment:
        raise ConfigError(
            f"the {parts.scheme} URL of the store has a wrong host or port. In passwords write the "
            "characters / ? # @ : % as %2F %3F %23 %40 %3A %25"
        )
    return f"{parts.scheme}://{hosts}{parts.path}"
