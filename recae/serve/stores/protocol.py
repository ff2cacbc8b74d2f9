"""The protocol of a store of histories, and the checks that all of them share."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from recae.data import as_ids
from recae.errors import DataError, StoreError

Id = int | str

LIMIT = 100_000
"""The most items of a history, unless the URL says otherwise with `limit=`."""


@runtime_checkable
class HistoryStore(Protocol):
    """Where a service looks up the histories of users. Any object with these two methods is one.

    It is used by several threads at once, and by processes that were forked after it was opened.
    """

    def histories(self, users: Sequence[Id]) -> dict[Id, list[Id]]:
        """The item ids of each user, distinct, in any order; users without a history are left out.

        users: user ids, all integers or all text. Raises StoreError if the store is down or slow,
        or holds what is no history, and DataError for user ids that are of another kind than those
        of the store.
        """

    def close(self) -> None:
        """Closes the connections. The store is not used afterwards."""


def checked_users(users: Sequence[Id]) -> list[Id]:
    """User ids as a list of int, or of str. Raises DataError for anything else."""
    if isinstance(users, list) and len(users) == 1 and type(users[0]) is int:
        if -(2**63) <= users[0] < 2**63:
            return users
    try:
        found: list[Id] = as_ids(users, "user").tolist()
    except DataError as error:
        raise DataError(str(error), parameter="users", value=users) from None
    return found


def checked_limit(user: Id, items: list[Any], limit: int, name: str) -> None:
    """Raises StoreError for a history of more items than the limit: it is never cut."""
    if len(items) > limit:
        raise StoreError(
            f"{name}: the history of user {user!r} has more than {limit:,} items, which is the "
            "limit. Shorten it in the store, or raise the limit with limit= in the URL of the store"
        )


class AfterFork(Protocol):
    """Something with locks, threads or connections, which a forked child must not use."""

    def forked(self) -> None:
        """Replaces them. Called in the child, which has only one thread then."""


_OPEN: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_after_fork(thing: AfterFork) -> None:
    """Calls `thing.forked()` in every process that is forked from now on, while `thing` exists."""
    _OPEN.add(thing)


def _renew() -> None:
    for thing in list(_OPEN):
        thing.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
