"""The items that everybody may be given, and those that single users may or must not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.data import IdMap, Interactions, as_ids
from recae.data.ids import show
from recae.data.tables.sources import is_table
from recae.errors import DataError, check_flag, check_option, warn
from recae.ranking.batches import Request
from recae.recommend.selected import Either, Selected

UNKNOWN_ITEMS = ("ignore", "raise")
COLUMNS = {"user_id", "item_id"}


Tell = Callable[[str, int, int, object], None]
"""Is told of unknown item ids: the parameter, how many, of how many, and the first of them."""


def warn_of_unknown(parameter: str, unknown: int, of: int, first: object) -> None:
    """Counts unknown item ids in a warning."""
    warn(
        f"{unknown:,} of {of:,} item ids in {parameter} are ignored: the model does not know them, "
        f"the first {show(first)}; on_unknown_items='raise' refuses them"
    )


def with_rules(
    request: Request,
    known: IdMap,
    items: Any,
    exclude_items: Any,
    exclude_seen: bool,
    on_unknown_items: str,
) -> Request:
    """The request with the rules of `recommend`; `known` are the items of the model."""
    seen = check_flag("exclude_seen", exclude_seen)
    check_option("on_unknown_items", on_unknown_items, UNKNOWN_ITEMS)
    exclude = request.matrix if seen else None
    if is_per_user(exclude_items):
        hidden = cells_of_users(
            request.users, known, exclude_items, "exclude_items", on_unknown_items
        )
        exclude = union(exclude, hidden)
        exclude_items = None
    allowed = allowed_items(known, items, exclude_items, on_unknown_items)
    return replace(request, exclude=exclude, allowed=allowed)


def allowed_items(
    known: IdMap, items: Any, exclude_items: Any, on_unknown_items: str
) -> np.ndarray | None:
    """The items that may be listed, (n_items,) bool, or None for all.

    Raises DataError for what are no ids, for `items` without any known one, and for unknown ids
    with on_unknown_items="raise". "ignore" leaves them out, with a warning that counts them.
    """
    if items is None and exclude_items is None:
        return None
    allowed = np.full(len(known), items is None)
    if items is not None:
        if isinstance(items, Mapping) or is_table(items):
            raise DataError(
                f"items must be a list of item ids, the same for all users, not "
                f"{type(items).__name__}; exclude_items may differ from user to user",
                parameter="items",
                value=items,
            )
        codes = item_codes(known, items, "items", on_unknown_items, some=True)
        allowed[codes[codes >= 0]] = True
    if exclude_items is not None:
        if is_per_user(exclude_items):  # `with_rules` has taken those of users out
            raise DataError(
                "exclude_items must be a list of item ids here, not "
                f"{type(exclude_items).__name__}: it is the same for all rows",
                parameter="exclude_items",
                value=exclude_items,
            )
        codes = item_codes(known, exclude_items, "exclude_items", on_unknown_items)
        allowed[codes[codes >= 0]] = False
    return allowed


def item_codes(
    known: IdMap,
    given: Any,
    parameter: str,
    on_unknown_items: str,
    some: bool = False,
    tell: Tell = warn_of_unknown,
) -> np.ndarray:
    """The codes of item ids, (n,) int64, -1 for those that are unknown; they are counted in a
    warning, or raise DataError. some: raise it, too, where none of several is known."""
    ids = as_ids(given, "item")
    if on_unknown_items == "raise":
        return known.encode(ids)
    codes = known.lookup(ids)
    unknown = np.flatnonzero(codes < 0)
    if some and len(unknown) == len(ids) > 0:
        raise DataError(
            f"the model knows none of the {len(ids):,} item ids in {parameter}, the first "
            f"{show(ids[0])}: nothing is left to list",
            parameter=parameter,
            value=given,
        )
    if len(unknown):
        tell(parameter, len(unknown), len(ids), ids[unknown[0]])
    return codes


def is_per_user(exclude_items: Any) -> bool:
    """Whether items are given for single users: {user: items}, a table, or Interactions."""
    return isinstance(exclude_items, Mapping | Interactions) or is_table(exclude_items)


@contextmanager
def named(rule: str, given: Any) -> Iterator[None]:
    """Adds the name of a rule to what is wrong with its ids."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{rule}: {error}", parameter=rule, value=given) from None


def union(one: Any | None, other: Any | None) -> Any | None:
    """The cells of either CSR; None has none."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Selected | Either):
        return Either(one, other)
    return sp.csr_matrix(one + other)


def cells_of_users(
    users: np.ndarray,
    known: IdMap,
    given: Any,
    parameter: str,
    on_unknown_items: str,
    tell: Tell = warn_of_unknown,
) -> Any | None:
    """The cells that are given for single users, CSR (rows, n_items) of ones; None for none."""
    if hasattr(given, "__len__") and not len(given):
        return None
    if isinstance(given, Mapping):
        pairs = of_users(parameter, given)
    elif isinstance(given, Interactions):
        pairs = given
    else:
        pairs = pairs_of(given)
    if not pairs.nnz:
        return None
    codes = known.lookup(pairs.items.ids)
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        if on_unknown_items == "raise":
            known.encode(pairs.items.ids)
        tell(parameter, len(unknown), pairs.n_items, pairs.items.ids[unknown[0]])
        pairs = pairs.select_items(np.flatnonzero(codes >= 0))
    matrix = pairs.binarised().with_items(known)[0].matrix
    if len(users) and pairs.users.kind != IdMap([users[0]], "user").kind:
        IdMap([users[0]], "user").lookup(pairs.users.ids)  # raises: the exclusions are at fault
    return rows_or_empty(matrix, pairs.users.lookup(users))


def pairs_of(given: Any) -> Interactions:
    """A table of users and items as Interactions of ones. A pair may be there twice."""
    return Interactions.from_frame(given, weight=None, time=None, duplicates="max")


def rows_or_empty(matrix: Any, rows: np.ndarray) -> Any:
    """Some rows of a CSR, in this order; -1 gives an empty one."""
    found = matrix[rows[rows >= 0]]
    lengths = np.zeros(len(rows), dtype=np.int64)
    lengths[rows >= 0] = np.diff(found.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_matrix((found.data, found.indices, indptr), shape=(len(rows), matrix.shape[1]))


def of_users(parameter: str, given: Mapping[Any, Any]) -> Interactions:
    """{user: items} as Interactions of weight 1, with a row for each user in the given order."""
    if COLUMNS & {key for key in given if isinstance(key, str)}:
        raise DataError(
            f"{parameter} is a mapping of columns: give pandas.DataFrame({parameter}), or "
            "{user: items}",
            parameter=parameter,
            value=given,
        )
    for user, items in given.items():
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise DataError(
                f"{parameter} must give a list of item ids for each user; for {user!r} it gives "
                f"{items!r}",
                parameter=parameter,
                value=items,
            )
    users = IdMap([*given], "user")
    lists = [[*items] for items in given.values()]
    items, columns = IdMap.from_values([*chain.from_iterable(lists)], "item")
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    matrix = sp.csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(users), len(items))
    )
    matrix.data[:] = 1  # an item may be named twice
    return Interactions.from_csr(matrix, users=users, items=items)
