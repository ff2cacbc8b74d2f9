"""Histories in lists of Redis: the key `recae:history:` and the user id, an element for an item."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from recae.errors import ConfigError, StorageError, StoreError
from recae.serve.stores.guard import Histories, reason
from recae.serve.stores.protocol import LIMIT, Id, checked_limit

PREFIX = "recae:history:"
AT_A_TIME = 1000
INTEGER = re.compile(rb"-?[0-9]{1,19}")


@dataclass(frozen=True)
class Layout:
    """How histories lie in Redis: `RPUSH recae:history:42 7 8` adds items 7 and 8 to user 42.

    prefix: what comes before the user id in a key. item_ids: "int" if the elements are integers,
    "text" if they are text; Redis itself does not know. limit: the most elements of a list.
    """

    prefix: str = PREFIX
    item_ids: str = "int"
    limit: int = LIMIT


class RedisDriver:
    """Lists of Redis, one round trip for all users of a call."""

    def __init__(self, url: str, name: str, layout: Layout) -> None:
        self.name, self.layout, self._url = f"the store {name}", layout, url
        self._redis = library()
        self._client(1.0)  # a wrong URL is an error now

    def stop(self) -> None:
        pass

    def forked(self) -> None:
        pass

    def connect(self, seconds: float) -> Any:
        client = self._client(seconds)
        client.ping()
        return client

    def _client(self, seconds: float) -> Any:
        return client_of(self._url, self.name, seconds, seconds)

    def read(self, connection: Any, users: list[Id]) -> Histories:
        """The lists of some users in one round trip, each item once. Raises StoreError for keys of
        another type."""
        keys = [f"{self.layout.prefix}{user}" for user in users]
        with connection.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.lrange(key, 0, self.layout.limit)
            answers = pipeline.execute(raise_on_error=False)
        found = {}
        for user, key, answer in zip(users, keys, answers, strict=True):
            if isinstance(answer, Exception):
                raise self._odd(key, reason(answer))
            if not isinstance(answer, list):
                raise self._odd(key, f"it answers {type(answer).__name__}")
            checked_limit(user, answer, self.layout.limit, self.name)
            items = dict.fromkeys(self._item(key, element) for element in answer)
            if items:
                found[user] = [*items]
        return found

    def write(self, histories: Iterable[tuple[Id, list[Id]]], overwrite: bool) -> None:
        """Writes a list for each user. Raises StorageError."""
        client = self._client(60.0)
        rest = iter(histories)
        try:
            while part := {f"{self.layout.prefix}{u}": i for u, i in islice(rest, AT_A_TIME)}:
                taken = 0 if overwrite else client.exists(*part)
                if taken:
                    raise StorageError(
                        f"{self.name} has {taken:,} of these users already: pass overwrite=True to "
                        "replace their histories",
                        parameter="overwrite",
                    )
                with client.pipeline(transaction=True) as pipeline:
                    pipeline.delete(*part)
                    for key, items in part.items():
                        pipeline.rpush(key, *items)
                    pipeline.execute()
        except self._redis.RedisError as error:
            raise StorageError(f"cannot write to {self.name}: {reason(error)}") from error
        finally:
            self.close(client)

    def _item(self, key: str, element: Any) -> Id:
        """An element as an id of the declared kind. Raises StoreError for anything else."""
        if not isinstance(element, bytes):
            raise self._odd(key, f"it holds {type(element).__name__}")
        if self.layout.item_ids == "text":
            try:
                return element.decode()
            except UnicodeDecodeError:
                raise self._odd(key, f"{element[:50]!r} is no text in UTF-8") from None
        if INTEGER.fullmatch(element) and -(2**63) <= int(element) < 2**63:
            return int(element)
        raise self._odd(
            key,
            f"{element[:50]!r} is no integer of 64 bits. If item ids are text, add item_ids=text "
            "to the URL",
        )

    def _odd(self, key: str, fault: str) -> StoreError:
        return StoreError(f"{self.name}: the key {key!r} holds no list of item ids: {fault}")

    def abort(self, connection: Any) -> None:
        connection.connection_pool.disconnect(inuse_connections=True)

    def close(self, connection: Any) -> None:
        connection.connection_pool.disconnect(inuse_connections=True)


def client_of(url: str, name: str, seconds: float, to_connect: float) -> Any:
    """A client that has not connected yet; calls fail after the seconds. Raises ConfigError."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    redis = library()
    try:
        pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=seconds,
            socket_connect_timeout=to_connect,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ConfigError(f"{name} has a wrong URL") from None
    return redis.Redis(connection_pool=pool)


def library() -> Any:
    """The library redis. Raises ConfigError where it is missing."""
    try:
        import redis
    except ImportError as error:
        raise ConfigError(
            'a store in Redis needs the library redis: pip install "recae[redis]"',
            parameter="store",
        ) from error
    return redis
