"""Which units are turned, and by how much."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np

from recae.errors import ConfigError

MOST = 1000.0
"""The largest strength either way: far beyond it scores are no numbers any more."""


def strengths(turn: Any, names: Sequence[str]) -> np.ndarray:
    """The strength of every unit, (units,) float64, 0 for those that are not named.

    turn: None, or a mapping from units to numbers. Raises ConfigError for anything else.
    """
    found = np.zeros(len(names))
    if turn is None:
        return found
    if not isinstance(turn, Mapping):
        raise ConfigError(
            f"turn must map units, or their names, to strengths, as in {{0: 0.5}}; "
            f"not {type(turn).__name__}"
        )
    told: dict[int, Any] = {}
    for key, strength in turn.items():
        unit = find_unit(key, names)
        if unit in told:
            raise ConfigError(f"turn has unit {unit} twice, as {told[unit]!r} and as {key!r}")
        told[unit] = key
        if isinstance(strength, bool | np.bool_) or not isinstance(strength, Real):
            raise ConfigError(f"the strength of {key!r} must be a number, not {strength!r}")
        if not -MOST <= cast(float, strength) <= MOST:  # nor is NaN
            raise ConfigError(
                f"the strength of {key!r} must be between -{MOST:g} and {MOST:g}, not {strength}: "
                "1 is as strong as those who have it have it on average"
            )
        found[unit] = float(strength)
    return found


def find_unit(key: object, names: Sequence[str]) -> int:
    """The unit of a number, of a name, or of a part of a name that no other name has.

    Upper and lower case are the same. Raises ConfigError if there is none, with the nearest
    spelling, and if there are several, with their names.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if 0 <= key < len(names):
            return int(key)
        raise ConfigError(f"there is no unit {key}: they are 0 to {len(names) - 1}")
    if not isinstance(key, str) or not key.strip():
        raise ConfigError(f"a unit is a number or a name, not {key!r}")
    wanted, lower = key.strip().casefold(), [name.casefold() for name in names]
    if wanted in lower:
        return lower.index(wanted)
    having = [unit for unit, name in enumerate(lower) if wanted in name]
    if len(having) == 1:
        return having[0]
    if having:
        some = "; ".join(f"{unit}, {names[unit]!r}" for unit in having[:5])
        more = f" and {len(having) - 5} more" if len(having) > 5 else ""
        raise ConfigError(f"{key!r} is in the names of several units: {some}{more}")
    near = _nearest(wanted, lower)
    hint = f" Did you mean {names[near]!r}, unit {near}?" if near is not None else ""
    raise ConfigError(f"no unit is called {key!r}.{hint} Tastes.name() lists all of them")


def _nearest(wanted: str, names: Sequence[str]) -> int | None:
    """The unit with the name, or the part of a name, that is spelt most like this."""
    parts = {part: unit for unit in reversed(range(len(names))) for part in _parts(names[unit])}
    close = difflib.get_close_matches(wanted, parts, n=1)
    return parts[close[0]] if close else None


def _parts(name: str) -> list[str]:
    genre, colon, rest = name.partition(": ")
    pieces = [name, *(piece.strip() for piece in (rest if colon else name).split(";"))]
    return [*pieces, genre] if colon else pieces


def renamed(names: Sequence[str], changes: Mapping[Any, str]) -> list[str]:
    """The names with some changed: {unit or name: new name}.

    Raises ConfigError for a unit that is not there, a name that is none, or another's.
    """
    changed = list(names)
    for key, name in changes.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of {key!r} must be a text, not {name!r}")
        changed[find_unit(key, names)] = name.strip()
    lower = [name.casefold() for name in changed]
    for name, same in zip(changed, lower, strict=True):
        if lower.count(same) > 1:
            raise ConfigError(f"two units cannot both be called {name!r}")
    return changed


def distinct(names: Sequence[str]) -> list[str]:
    """The same names, with a number behind those that come again, in whatever case."""
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
