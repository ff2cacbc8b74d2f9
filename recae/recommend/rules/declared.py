"""Business rules as one object: for Python, for JSON bodies and for files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from recae.data import Interactions, ItemTable
from recae.errors import (
    ConfigError,
    check_integer,
    check_number,
    check_option,
    explained,
    unknown_option,
)
from recae.recommend.rules.lists import is_per_user, named, pairs_of
from recae.rng import check_seed

METHODS = ("mmr", "calibrated")
LISTS = {"boosts": "factor", "include": "position"}
"""What are {item: number} in Python and lists of {"item_id": ..., ...} in JSON, whose keys are
texts always."""


@explained
@dataclass(frozen=True, eq=False)
class Rules:
    """What lists must obey beyond the scores; one object for every way to ask for lists.

    They act in this order:

    1. `allow`: the only item ids that may be listed; `block`: ids that may not. A list of ids for
       everybody, or {user: ids} or a table with user_id and item_id for single users (users that
       are not named in it may be given everything). Unknown ids are ignored and counted.
    2. `boosts`, {item: factor >= 0}: an item is so many times as far above the lowest score of the
       user as before; below 1 it falls. `half_life`, in days: that distance halves for every so
       many days between the item's date (column `date` of `table`) and `now`, by default the latest
       date in the table. Items without a date are as old as the median.
    3. `min_score`: items with a lower score than this, after 2, are left out.
    4. `include`, {item: position from 1}: items that are listed in that place, or in the last one
       of a shorter list, whatever their score. What is blocked, or seen with `exclude_seen`, is not
       included.
    5. `at_most`: items of one category in a list, included ones counted. Categories are in the
       column `category` of `table`; "A|B" are two, see `separator`; an item without any counts in
       none.
    6. `diversity`, 0 to 1: how much variety counts against scores in choosing each place from the
       `pool` best items, whose scores are first scaled to 0 to 1. `method` "mmr" takes off the
       largest similarity to the items chosen before (maximal marginal relevance, Carbonell &
       Goldstein, SIGIR 1998): the cosine of the categories if `category` is given, else of the item
       embeddings; of a model without any, the score of `similar_items`, as a share of the largest
       score, in absolute value, that the item chosen before has with any other. "calibrated"
       takes off the divergence KL(p, q) between the categories of the history and of the list
       (Steck, "Calibrated Recommendations", RecSys 2018, eq. 2 to 4, with alpha 0.01); it needs
       `category`.
    7. `explore`, 0 to 1: the chance of each place to be drawn from the rest of the `pool`. Draws
       depend on `seed`, the items of the user's history and the place alone.

    Lists keep the order of scores after 2 but for 4, 6 and 7. Rules that leave a list shorter than
    k, and ids that are ignored, are in the `notes` of the answer. Raises ConfigError for values out
    of range and rules that miss their table, DataError for ids and tables that cannot be used.

    >>> rules = recae.Rules(include={3: 1})
    >>> recae.Popularity().fit(data).recommend([0], k=2, rules=rules)["item_id"].tolist()
    [3, 2]
    """

    allow: Any = None
    block: Any = None
    boosts: Mapping[Any, float] | None = None
    half_life: float | None = None
    now: Any = None
    min_score: float | None = None
    include: Mapping[Any, int] | None = None
    at_most: int | None = None
    diversity: float = 0.0
    method: str = "mmr"
    explore: float = 0.0
    seed: int = 0
    pool: int = 100
    category: str | None = None
    date: str = "date"
    separator: str = "|"
    table: ItemTable | Any | None = None

    def __post_init__(self) -> None:
        for name in ("allow", "block"):
            self._check_list(name)
        for name in ("boosts", "include"):
            self._check_mapping(name)
        if self.half_life is not None:
            check_number("half_life", self.half_life, above=0)
        if self.min_score is not None:
            least = float(check_number("min_score", self.min_score))  # torch refuses large integers
            object.__setattr__(self, "min_score", least)
        if self.at_most is not None:
            check_integer("at_most", self.at_most)
        check_number("diversity", self.diversity, low=0, high=1)
        check_number("explore", self.explore, low=0, high=1)
        check_option("method", self.method, METHODS)
        check_integer("pool", self.pool, high=100_000)
        check_seed(self.seed)
        for name in ("category", "date", "separator"):
            value = getattr(self, name)
            may_lack = name == "category" and (value is None or isinstance(value, str))
            if not (isinstance(value, str) and value) and not may_lack:
                raise wrong(f"{name} must be a text, not {value!r}", name, value)
        if self.now is not None:
            moment(self.now)
        if self.table is not None and not isinstance(self.table, ItemTable):
            object.__setattr__(self, "table", ItemTable(self.table))
        self._check_table()

    def _check_list(self, name: str) -> None:
        given = getattr(self, name)
        if given is None or is_per_user(given):
            return
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise wrong(f"{name} must be a list of item ids, not {given!r}", name, given)
        if not hasattr(given, "__len__"):  # a generator gives its ids once
            object.__setattr__(self, name, list(given))

    def _check_mapping(self, name: str) -> None:
        """Raises ConfigError for a rule that is no mapping of ids to numbers within bounds, and for
        two items of `include` at one place."""
        given = getattr(self, name)
        if given is None:
            return
        if not isinstance(given, Mapping):
            raise wrong(f"{name} must be {{item id: {LISTS[name]}}}, not {given!r}", name, given)
        for value in given.values():
            if name == "boosts":
                check_number(name, value, low=0, high=1e6)
            else:
                check_integer(name, value)
        places = [int(place) for place in given.values()] if name == "include" else []
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise wrong(f"include names two items for position {twice}", name, given)

    def _check_table(self) -> None:
        """Raises ConfigError for rules that need a column or a table and have none; DataError for a
        column that the table lacks."""
        for name, needed, column in (
            ("half_life", self.half_life is not None, self.date),
            ("at_most", self.at_most is not None, self.category),
            ("diversity", self.diversity > 0 and self.method == "calibrated", self.category),
        ):
            if needed and column is None:
                raise wrong(
                    f"{name} needs category=, the column of the items' categories", "category"
                )
            if needed and self.table is None:
                raise wrong(f"{name} needs table=, a table of items with {column!r}", "table")
        if self.table is not None:
            uses = self.at_most is not None or self.diversity > 0
            if self.category is not None and uses:
                self.table.column(self.category)
            if self.half_life is not None:
                self.table.column(self.date)

    @property
    def reorders(self) -> bool:
        """Whether lists may differ from the best scores of what is allowed."""
        return self.chooses or bool(self.include)

    @property
    def chooses(self) -> bool:
        """Whether places are chosen one after the other."""
        return self.at_most is not None or self.diversity > 0 or self.explore > 0

    @property
    def scales(self) -> bool:
        """Whether scores change."""
        return bool(self.boosts) or self.half_life is not None

    def of_user(self, user: Any) -> Rules:
        """The rules with the lists of one user in place of those of all single users.

        For calls that do not say who a history belongs to, such as `recommend_ids`; user: an id, or
        None for somebody whom no list names. Raises DataError for a table that cannot be read.

        >>> recae.Rules(block={7: [1], 8: [2]}).of_user(7).block
        [1]
        """
        own: dict[str, Any] = {}
        for name in ("allow", "block"):
            given = getattr(self, name)
            if is_per_user(given):
                with named(name, given):
                    own[name] = None if user is None else _list_of(user, given)
        return replace(self, **own) if own else self

    @classmethod
    def from_json(cls, given: Mapping[str, Any], table: ItemTable | Any | None = None) -> Rules:
        """The rules of a JSON object, whose names are those of this class but for `table`.

        boosts: a list of {"item_id": id, "factor": number}; include: of {"item_id": id,
        "position": number}. allow, block: a list of ids, or an object {user: ids} where users are
        texts. null is the default. Raises ConfigError that names the field, as the class does.

        >>> recae.Rules.from_json({"include": [{"item_id": 3, "position": 1}]}).include
        {3: 1}
        """
        if not isinstance(given, Mapping):
            raise wrong(f"rules must be an object, not {given!r}", "rules", given)
        known = [field.name for field in fields(cls) if field.name != "table"]
        options: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise unknown_option("rule", name, known, parameter=str(name))
            if value is None:
                continue
            options[name] = _pairs(name, value) if name in LISTS else value
            if name in ("allow", "block"):
                _check_ids(name, value)
        return cls(**options, table=table)

    def to_json(self, *, ids: bool = True) -> dict[str, Any]:
        """The inverse of `from_json`: the fields that differ from their defaults; without `table`.

        ids: whether those fields are written, too, that name items. Raises ConfigError for `allow`
        and `block` that are tables.

        >>> recae.Rules(at_most=None, min_score=0.5).to_json()
        {'min_score': 0.5}
        """
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "table" or value is None or value is field.default:
                continue
            if not ids and field.name in (*LISTS, "allow", "block"):
                continue
            if field.name in LISTS:
                number = LISTS[field.name]
                value = [{"item_id": plain(k), number: plain(v)} for k, v in value.items()]
            elif field.name == "now":
                value = str(moment(value))
            elif field.name in ("allow", "block"):
                value = _ids_to_json(field.name, value)
            found[field.name] = plain(value)
        return {name: value for name, value in found.items() if value != getattr(Rules, name)}


def _list_of(user: Any, given: Any) -> Any:
    """The items that a mapping, a table or Interactions have for a user; None without any."""
    if isinstance(given, Mapping):
        return next((given[name] for name in (user, str(user)) if name in given), None)
    pairs = given
    if not isinstance(pairs, Interactions):
        if not len(given):
            return None
        pairs = pairs_of(given)
    row = int(pairs.users.lookup([user])[0])
    return None if row < 0 else pairs.items.decode(pairs.matrix[row].indices).tolist()


def check_rules(rules: Any) -> Any:
    """Rules or None, as they are. Raises ConfigError for anything else."""
    if rules is None or isinstance(rules, Rules):
        return rules
    raise wrong(
        f"rules must be recae.Rules, not {type(rules).__name__}; Rules.from_json reads a mapping",
        "rules",
        rules,
    )


def wrong(message: str, parameter: str, value: Any = None) -> ConfigError:
    """A ConfigError that names the field."""
    return ConfigError(message, parameter=parameter, value=value)


def moment(value: Any) -> pd.Timestamp:
    """A date as UTC. Raises ConfigError."""
    try:
        if not isinstance(value, str | date | np.datetime64):  # a Timestamp is a date
            raise ValueError
        found = pd.to_datetime(value, utc=True)
        if not isinstance(found, pd.Timestamp):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise wrong(
            f"now must be a date, such as '2026-11-29', not {value!r}", "now", value
        ) from None
    return found


def plain(value: Any) -> Any:
    """A scalar of numpy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _pairs(name: str, given: Any) -> dict[Any, Any]:
    """A rule of JSON, a list of objects, as a mapping. Raises ConfigError for other forms and for
    an item named twice."""
    number = LISTS[name]
    found: dict[Any, Any] = {}
    listed = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    for entry in given if listed else [None]:
        if not isinstance(entry, Mapping) or set(entry) != {"item_id", number}:
            raise wrong(
                f'{name} must be a list of {{"item_id": ..., "{number}": ...}}, not {given!r:.80}',
                name,
                given,
            )
        item = entry["item_id"]
        _check_ids(name, [item])
        if item in found:
            raise wrong(f"{name} names item {item!r} twice", name, given)
        found[item] = entry[number]
    return found


def _check_ids(name: str, given: Any) -> None:
    """Raises ConfigError unless these are ids, or ids of users, as JSON has them."""
    parts = given.values() if isinstance(given, Mapping) else [given]
    for ids in parts:
        fine = isinstance(ids, Sequence) and not isinstance(ids, str | bytes)
        kinds = {type(value) for value in ids} if fine else set()
        if not fine or len(kinds) > 1 or kinds - {int, str}:
            raise wrong(
                f"{name} must have item ids, all integers or all texts, not {ids!r:.80}",
                name,
                given,
            )
        if kinds == {int} and any(not -(2**63) <= value < 2**63 for value in ids):
            raise wrong(f"{name} has an integer of more than 64 bits", name, given)


def _ids_to_json(name: str, given: Any) -> Any:
    if isinstance(given, Mapping):
        return {str(user): _ids_to_json(name, items) for user, items in given.items()}
    listed = np.iterable(given) and not isinstance(given, str | bytes) and not is_per_user(given)
    found = [plain(item) for item in given] if listed else [None]
    if any(not isinstance(item, int | str) for item in found):
        raise wrong(f"{name} cannot be written as JSON: give a list of ids", name, given)
    return found
