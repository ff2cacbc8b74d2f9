"""Results that fits on the same data share, such as the trials of a search."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")
KEPT: ContextVar[dict[str, tuple[object, Hashable, Any]] | None] = ContextVar("KEPT", default=None)


@contextmanager
def reuse() -> Iterator[None]:
    """Within it, `reused` keeps the last result of each kind."""
    token = KEPT.set({})
    try:
        yield
    finally:
        KEPT.reset(token)


def reused(kind: str, owner: object, key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` returns, or what it returned for the same object and key within `reuse`.

    kind: of the result; the last one of a kind is kept. key: all that it depends on but `owner`.
    """
    kept = KEPT.get()
    if kept is None:
        return compute()
    if kind in kept:
        known, of, result = kept[kind]
        if known is owner and of == key:
            return cast(T, result)
        del kept[kind], result  # before another is computed: it may be large
    result = compute()
    kept[kind] = owner, key, result
    return result
