"""Opens the store that a URL names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from recae.errors import ConfigError, check_integer, unknown_option
from recae.serve.stores.parquet import ParquetHistories
from recae.serve.stores.protocol import LIMIT, HistoryStore


def open_store(url: str) -> HistoryStore:
    """The store of histories that a URL names.

    parquet:plays.parquet?user=user_id&item=item_id

    The path may be relative or absolute, and percent-encoded. `limit=` is the most items of a
    history, 100,000 by default: a longer one is a StoreError, because nothing is cut.

    Raises ConfigError for an unknown scheme or option of the URL, and DataError for a file or a
    column that does not exist.

    >>> pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]}).to_parquet("plays.parquet")
    >>> recae.serve.open_store("parquet:plays.parquet").histories([1, 2])
    {1: [7, 8]}
    """
    text = url if isinstance(url, str) else ""
    scheme, colon, _ = text.partition(":")
    if not colon or not scheme:
        raise ConfigError(
            f"a store is named by a URL such as parquet:plays.parquet, not {url!r}. "
            f"Known: {', '.join(sorted(SCHEMES))}",
            parameter="store",
            value=url,
        )
    if scheme.lower() not in SCHEMES:
        raise unknown_option("scheme of a store", scheme, SCHEMES, parameter="store")
    return SCHEMES[scheme.lower()](text)


def _parquet(url: str) -> HistoryStore:
    path, options = path_and_options(url, ("user", "item", "limit"))
    limit = whole(options.pop("limit", str(LIMIT)), "limit")
    return ParquetHistories(path, **options, limit=limit)


SCHEMES: dict[str, Callable[[str], HistoryStore]] = {"parquet": _parquet}


def path_and_options(url: str, known: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """The path of `scheme:path?options`, and the options. Raises ConfigError."""
    where, _, query = url.partition(":")[2].partition("?")
    path = unquote(where.removeprefix("//"))
    if not path or "\0" in path:
        raise ConfigError(f"the URL {url!r} names no path", parameter="store", value=url)
    return Path(path), options_of(query, known)


def options_of(query: str, known: tuple[str, ...]) -> dict[str, str]:
    """The options behind the ? of a URL. Raises ConfigError for an unknown or repeated one."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise unknown_option("option of a store", name, known, parameter="store")
        if name in found or not value:
            fault = "is given twice" if name in found else "has no value"
            raise ConfigError(f"the option {name} of a store {fault}", parameter=name, value=value)
        found[name] = value
    return found


def whole(text: str, name: str) -> int:
    """An integer >= 1 from the text of an option. Raises ConfigError."""
    return check_integer(name, int(text) if text.isascii() and text.isdigit() else text)
