"""Looks up the histories of the users that requests name, and says what the store lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recae.data import IdMap, as_ids
from recae.errors import DataError, RecaeError, StoreError, check_option
from recae.serve.stores.protocol import HistoryStore, Id

ON_FAILURE = ("raise", "popular")


@dataclass(frozen=True)
class FoundHistory:
    """The history of one user, ready for `recommend_ids`.

    history: item ids of the model's kind, each once; empty for a user whom the store does not know.
    notes: what an answer says of it: `{"rule": "store", "unknown_users": 1}` for such a user, and
    `{"rule": "store", "failed": 1}` if the store is down and `on_failure` is "popular".
    """

    history: list[Id]
    notes: tuple[dict[str, Any], ...] = ()


def _empty(reason: str) -> FoundHistory:
    return FoundHistory([], ({"rule": "store", reason: 1},))


def look_up(
    store: HistoryStore | None, users: Sequence[Id], items: IdMap, *, on_failure: str = "raise"
) -> list[FoundHistory]:
    """The histories of users, in the order given; one call of the store for all of them.

    items: `items_` of the model. Ids that it does not know stay in the history: `recommend_ids`
    counts them. on_failure: for a store that is down, slow or holds what is no history, "raise"
    its StoreError (a service answers 503, with `retry_after` in Retry-After), or give everybody the
    empty history, which `on_unknown="popular"` answers with popular items.

    Raises DataError, with the parameter "user", for user ids of another kind than the store's, and
    without a store. Raises StoreError for item ids of another kind than the model's. A service
    calls it so, in a thread of its own because it may wait for the network:

        (found,) = look_up(store, [user], served.model.items_)
        answer = served.model.recommend_ids(found.history, k, on_unknown="popular")
        notes = [*found.notes, *answer.notes]
    """
    check_option("on_failure", on_failure, ON_FAILURE)
    if store is None:
        raise DataError(
            "this service has no store of histories: send the history itself, or start the service "
            "with one (--store)",
            parameter="user",
            value=users[0] if len(users) else None,
        )
    try:
        found = _asked(store, users)
        return [
            _checked(found[user], user, items) if user in found else _empty("unknown_users")
            for user in users
        ]
    except StoreError:
        if on_failure == "raise":
            raise
        return [_empty("failed") for _ in users]


def _asked(store: HistoryStore, users: Sequence[Id]) -> Mapping[Id, Any]:
    """The answer of a store. Whatever else it raises becomes a StoreError."""
    try:
        found: object = store.histories(users)
    except StoreError:
        raise
    except DataError as error:
        raise DataError(str(error), parameter="user", value=error.value) from None
    except RecaeError as error:
        raise StoreError(str(error)) from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"the store of histories failed: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(found, Mapping):
        raise StoreError(f"a store must give {{user: item ids}}, not {type(found).__name__}")
    return found


def _checked(history: Any, user: Id, items: IdMap) -> FoundHistory:
    """One history of a store, if its ids are of the model's kind."""
    if isinstance(history, list) and _simple(history, items.kind):
        ids = history
    else:
        try:
            ids = as_ids(history, "item").tolist()
        except DataError as error:
            raise StoreError(f"the history of user {user!r} in the store: {error}") from None
        if ids and len(items) and isinstance(ids[0], str) != (items.kind == "str"):
            words = {"int": "integers", "str": "text"}
            here = "str" if isinstance(ids[0], str) else "int"
            raise StoreError(
                f"the history of user {user!r} in the store has item ids that are {words[here]} "
                f"(first: {ids[0]!r}); those of the model are {words[items.kind]} (first: "
                f"{items.ids[0].item() if here == 'str' else items.ids[0]!r}). Correct the store: "
                "the same item must have the same id in both"
            )
    return FoundHistory([*dict.fromkeys(ids)])


def _simple(history: list[Any], kind: str) -> bool:
    """Whether these are ids of the kind without a doubt, which needs no slower look."""
    wanted = str if kind == "str" else int
    if not all(type(item) is wanted for item in history):
        return False
    return kind == "str" or all(-(2**63) <= item < 2**63 for item in history)
