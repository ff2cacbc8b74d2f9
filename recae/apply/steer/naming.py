"""Names of the units of a sparse code: item titles, genres, and looking a unit up by its name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.data import IdMap
from recae.data.item_table import ItemTable
from recae.errors import ConfigError

MOST_READ, LEAST_READ = 20, 5
"""Items from which the genres of a unit are read, at most and at least."""

SUPPORT = 0.2
"""Share of these items that must have a genre before it can name the unit."""

LIFT = 1.5
"""The least ratio of a genre's frequency among them to its frequency in the catalogue."""

STRONGEST = 1000.0
"""The largest strength in either direction. Far beyond it scores overflow."""

# Which items and genres describe a unit.


def well_known(item_counts: np.ndarray) -> np.ndarray:
    """The more popular half of the items that have users, (n_items,) bool."""
    has_users = item_counts > 0
    if not has_users.any():
        return np.ones(len(item_counts), dtype=bool)
    return np.asarray(item_counts >= max(np.median(item_counts[has_users]), 1))


def particular(rises: np.ndarray, item_counts: np.ndarray) -> np.ndarray:
    """Score rises adjusted for item popularity, (units, n_items) float32.

    rises: (units, n_items) float32. Subtracts from each unit its mean over the well-known items and
    the least squares line on the logarithm of their number of training users. The other items,
    whose scores are mostly noise, get -inf.
    """
    known = well_known(item_counts)
    popularity = np.log(item_counts[known].astype(np.float64))
    popularity -= popularity.mean()
    spread = float(popularity @ popularity)
    found = np.full(rises.shape, -np.inf, dtype=np.float32)
    part = rises[:, known].astype(np.float64)
    part -= part.mean(axis=1, keepdims=True)
    if spread > 0:
        part -= np.outer(part @ popularity / spread, popularity)
    found[:, known] = part
    return found


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The columns of the highest values of each row, best first, (rows, count) int64.

    Ties are in the order of the columns.
    """
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def together(top: np.ndarray, matrix: Any) -> np.ndarray:
    """How often the items of each row of `top` occur together in a history, relative to chance.

    top: (units, k) columns of the CSR histories `matrix`. The number of users who have both items,
    summed over all pairs, divided by the sum of users_i users_j / users: 1 is chance. (units,)
    float64, NaN where the expected number is 0.
    """
    columns, places = np.unique(top, return_inverse=True)
    some = sp.csr_matrix(matrix[:, columns], dtype=np.float64)
    some.data[:] = 1
    both = np.asarray((some.T @ some).todense())  # (columns, columns)
    users = both.diagonal()
    chance = np.outer(users, users) / max(matrix.shape[0], 1)
    places = places.reshape(top.shape)
    pairs = np.triu_indices(top.shape[1], 1)
    found = [
        (both[np.ix_(row, row)][pairs].sum(), chance[np.ix_(row, row)][pairs].sum())
        for row in places
    ]
    pairs_seen, expected = np.array(found, dtype=np.float64).reshape(-1, 2).T
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        return np.asarray(pairs_seen / expected)


def genre_shares(top: np.ndarray, of_items: Any) -> np.ndarray:
    """Share of each row's items that have each genre, (units, genres) float64."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    cells = (np.full(top.size, 1 / max(top.shape[1], 1)), (rows, top.ravel()))
    picks = sp.csr_matrix(cells, shape=(len(top), of_items.shape[0]))
    return np.asarray((picks @ of_items).todense(), dtype=np.float64)


def telling(shares: np.ndarray, everywhere: np.ndarray, most: int = 2) -> list[list[int]]:
    """The most characteristic genres of each unit, best first, at most `most`.

    shares: (units, genres) among the unit's items; everywhere: (genres,) in the catalogue.
    Considers the genres with a share of at least SUPPORT and a lift of at least LIFT. Returns those
    with the largest share x log(lift): frequent in the unit and rare elsewhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = shares / everywhere
        weight = np.where((shares >= SUPPORT) & (lift >= LIFT), shares * np.log(lift), -np.inf)
    order = np.argsort(-weight, axis=1, kind="stable")[:, :most]
    return [[int(g) for g in row if np.isfinite(weight[unit, g])] for unit, row in enumerate(order)]


def read_genres(given: Any, items: IdMap) -> tuple[list[str], Any]:
    """The genres in ascending order, and which item has which: CSR (n_items, genres) of ones.

    given: a table for `ItemTable`, with texts such as "Comedy|Romance" or lists of texts in a
    column `genres`. It may also be a table with the columns `item_id` and `category`, one row per
    item and category. Warns about items without a genre. Raises DataError for anything else and if
    no item has one.
    """
    table = given if isinstance(given, ItemTable) else ItemTable(given, value="genres")
    if "category" in table.columns:
        names, matrix = table.categories(items, "category")
    else:
        names, matrix = table.categories(items, "genres", separator="|")
    return [str(name) for name in names], matrix


def describe(
    items: IdMap, item_counts: np.ndarray, top: np.ndarray, titles: Any, k: int, genres: Any
) -> pd.DataFrame:
    """Names of units, and what their genres are: the first columns of `Tastes.name`.

    items, item_counts: of the recommender; top: (units, kept) columns of `items`, best first;
    titles, k, genres: as in `Tastes.name`.
    """
    table = None if titles is None else ItemTable(titles)
    if table is None:
        texts = np.array([str(item) for item in items.ids], dtype=object)
    else:
        texts = np.array(table.texts(items, required=True), dtype=object)
    names = ["; ".join(texts[row[:k]]) for row in top]
    columns: dict[str, Any] = {}
    if genres is None and table is not None and "genres" in table.columns:
        genres = table
    if genres is not None:
        columns, labels = _genre_columns(item_counts, top, *read_genres(genres, items))
        names = [
            f"{label}: {name}" if label else name for label, name in zip(labels, names, strict=True)
        ]
    return pd.DataFrame({"unit": np.arange(len(top)), "name": distinct(names)} | columns)


def _genre_columns(
    item_counts: np.ndarray, top: np.ndarray, kinds: list[str], of_items: Any
) -> tuple[dict[str, Any], list[str]]:
    """The columns about genres, and the most characteristic genres of each unit as text."""
    known = well_known(item_counts)
    read = min(max(int(known.sum()) // 10, LEAST_READ), MOST_READ, int(known.sum()))
    everywhere = np.asarray(of_items[known].mean(axis=0)).ravel()
    shares = genre_shares(top[:, :read], of_items)
    chosen = telling(shares, everywhere)
    first = np.array([some[0] if some else -1 for some in chosen])
    has, share = first >= 0, shares[np.arange(len(first)), first]
    usual = np.where(has, everywhere[first], 1)
    columns = {
        "genre": [kinds[genre] if genre >= 0 else None for genre in first],
        "precision": np.where(has, share, np.nan),
        "lift": np.where(has, share / usual, np.nan),
        "support": np.where(has, np.rint(share * read).astype(np.int64), 0),
    }
    return columns, [" / ".join(kinds[genre] for genre in some) for some in chosen]


# Names as keys.


def strengths(shift: Any, names: Sequence[str]) -> np.ndarray:
    """The strength of every unit in a shift, (units,) float64, 0 for units that it does not name.

    shift: None, or a mapping from units to numbers. Raises ConfigError for anything else.
    """
    found = np.zeros(len(names))
    if shift is None:
        return found
    if not isinstance(shift, Mapping):
        raise ConfigError(
            "shift must map units, or their names, to strengths, as in {0: 0.5}; "
            f"not {type(shift).__name__}",
            parameter="shift",
            value=shift,
        )
    keys: dict[int, Any] = {}
    for key, strength in shift.items():
        unit = find_unit(key, names)
        if unit in keys:
            raise ConfigError(
                f"shift has unit {unit} twice, as {keys[unit]!r} and as {key!r}",
                parameter="shift",
                value=shift,
            )
        keys[unit] = key
        number = isinstance(strength, Real) and not isinstance(strength, bool | np.bool_)
        if not number or not -STRONGEST <= cast(float, strength) <= STRONGEST:  # nor is NaN
            raise ConfigError(
                f"the strength of {key!r} must be a number between -{STRONGEST:g} and "
                f"{STRONGEST:g}, not {strength!r}: 1 is the mean strength of users who have the "
                "unit",
                parameter="shift",
                value=strength,
            )
        found[unit] = float(strength)
    return found


def find_unit(key: object, names: Sequence[str]) -> int:
    """The unit with a number, a name, or a part of a name that is in no other name.

    Case is ignored. Raises ConfigError if there is none, with the nearest spelling, and if there
    are several, with their names.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if 0 <= key < len(names):
            return int(key)
        raise _no_unit(f"there is no unit {key}: the units are 0 to {len(names) - 1}", key)
    if not isinstance(key, str) or not key.strip():
        raise _no_unit(f"a unit is given by its number or its name, not by {key!r}", key)
    wanted, lower = key.strip().casefold(), [name.casefold() for name in names]
    if wanted in lower:
        return lower.index(wanted)
    matches = [unit for unit, name in enumerate(lower) if wanted in name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = "; ".join(f"{unit}, {names[unit]!r}" for unit in matches[:5])
        more = f" and {len(matches) - 5} more" if len(matches) > 5 else ""
        raise _no_unit(f"{key!r} is in the names of several units: {some}{more}", key)
    parts = {part: unit for unit in reversed(range(len(lower))) for part in _parts(lower[unit])}
    close = [parts[part] for part in difflib.get_close_matches(wanted, parts, n=1)]
    hint = f" Did you mean {names[close[0]]!r}, unit {close[0]}?" if close else ""
    raise _no_unit(f"no unit is named {key!r}.{hint} Tastes.name() lists all units", key)


def _no_unit(message: str, key: object) -> ConfigError:
    return ConfigError(message, parameter="unit", value=key)


def _parts(name: str) -> list[str]:
    genre, colon, rest = name.partition(": ")
    pieces = [name, *(piece.strip() for piece in (rest if colon else name).split(";"))]
    return [*pieces, genre] if colon else pieces


def renamed(names: Sequence[str], changes: Mapping[Any, str]) -> list[str]:
    """The names after the changes {unit or name: new name}.

    Raises ConfigError for an unknown unit, for an empty name and for a name that another unit has.
    """
    changed = list(names)
    for key, name in changes.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of {key!r} must be a text, not {name!r}", value=name)
        changed[find_unit(key, names)] = name.strip()
    lower = [name.casefold() for name in changed]
    for name, same in zip(changed, lower, strict=True):
        if lower.count(same) > 1:
            raise ConfigError(f"two units cannot both be named {name!r}", value=name)
    return changed


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to those that occur again, ignoring case."""
    taken: set[str] = set()
    found = []
    for name in names:
        times, free = 1, name
        while free.casefold() in taken:
            times += 1
            free = f"{name} ({times})"
        taken.add(free.casefold())
        found.append(free)
    return found
