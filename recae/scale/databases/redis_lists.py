"""Lists in Redis: one key for each user, in generations that are switched at once."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recae.errors import StorageError
from recae.serve.stores.guard import reason
from recae.serve.stores.redis_lists import client_of, library

PREFIX = "recae:lists:"
CURRENT, ABOUT, LOADING = "current", "about", "loading"
"""Keys behind the prefix: the generation that counts, its provenance, and who loads now."""

CALL_SECONDS, CONNECT_SECONDS = 60.0, 10.0

GRACE_SECONDS = 60
"""For so long the generation before is kept, for those who have read its name already."""

LOCK_SECONDS = 60
"""After so long without a sign of life, a load counts as killed."""

GENERATION = re.compile(rb"[0-9a-f]{12}")


class RedisLists:
    """Lists of item ids, the best first, under PREFIXGENERATION:USER; PREFIXcurrent is the name of
    the generation that counts, which is set when all lists are there."""

    def __init__(self, url: str, name: str, prefix: str) -> None:
        self.name, self.prefix, self._url = f"the database {name}", prefix, url
        self._redis = library()
        client_of(url, self.name, CALL_SECONDS, CONNECT_SECONDS)  # a wrong URL is an error now

    def check(self, owner: str, overwrite: bool) -> None:
        """As in `Database`."""
        with self._connected() as client:
            self._find(client, overwrite)

    def load(self, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """As in `Database`."""
        generation = uuid.uuid4().hex[:12]
        with self._connected() as client, self._alone(client, generation):
            before = self._find(client, overwrite)
            self._remove(client, before)
            try:
                rows.compare(self.name, *self._write(client, rows, generation))
                self._switch(client, generation, json.dumps(about))
            except BaseException:
                with suppress(self._redis.RedisError):
                    self._remove(client, before)
                raise
            self._remove(client, generation, GRACE_SECONDS)

    def _write(self, client: Any, rows: Any, generation: str) -> tuple[int, int]:
        """Writes all lists; the numbers of their elements and of lists."""
        head, found, lists, last, length = f"{self.prefix}{generation}:", 0, 0, None, 0
        for batch in rows.batches():
            owners, items = (column.cast(pa.string()) for column in batch.columns[:2])
            starts = _starts(owners)
            names = owners.take(pa.array(starts)).to_pylist()
            elements = items.to_pylist()
            ends = [*starts[1:].tolist(), len(elements)]
            with client.pipeline(transaction=False) as pipeline:
                pipeline.expire(self.prefix + LOADING, LOCK_SECONDS)
                pipeline.get(self.prefix + LOADING)
                for name, start, end in zip(names, starts.tolist(), ends, strict=True):
                    pipeline.rpush(head + name, *elements[start:end])
                _, holder, *lengths = pipeline.execute()
            self._check_holder(holder, generation)
            wanted = [end - start for start, end in zip(starts.tolist(), ends, strict=True)]
            if names and names[0] == last:  # a list that began in the batch before
                wanted[0] += length
                lists -= 1
            if lengths != wanted:
                raise StorageError(
                    f"{self.name} has lists of other lengths than were written: does another "
                    f"program write to keys that begin with {self.prefix!r}?"
                )
            found, lists = found + len(elements), lists + len(names)
            if names:
                last, length = names[-1], wanted[-1]
        return found, lists

    def _switch(self, client: Any, generation: str, about: str) -> None:
        """Makes the generation the one that counts, unless another process loads meanwhile."""
        loading, current, provenance = (self.prefix + key for key in (LOADING, CURRENT, ABOUT))

        def switch(pipeline: Any) -> None:
            self._check_holder(pipeline.get(loading), generation)
            pipeline.multi()
            pipeline.set(current, generation)
            pipeline.set(provenance, about)

        client.transaction(switch, loading)

    def _check_holder(self, holder: bytes | None, generation: str) -> None:
        if holder != generation.encode():
            raise StorageError(
                f"{self.name}: this load has stood still for more than {LOCK_SECONDS} seconds, and "
                "its lock is gone: load again"
            )

    def _find(self, client: Any, overwrite: bool) -> str | None:
        """The generation that counts, if there is one. Raises StorageError if it must stay."""
        key = self.prefix + CURRENT
        if client.type(key) == b"none":
            return None
        found = client.get(key) if client.type(key) == b"string" else b""
        if not GENERATION.fullmatch(found or b""):
            raise StorageError(
                f"{self.name} has a key {key!r} that recae did not write: name another prefix="
            )
        if not overwrite:
            raise StorageError(
                f"{self.name} has the lists of an earlier load under {self.prefix!r}: pass "
                "overwrite=True to replace them, or name another prefix=",
                parameter="overwrite",
                value=overwrite,
            )
        return str(found.decode())

    def _remove(self, client: Any, kept: str | None, seconds: int = 0) -> None:
        """Deletes all generations but one, or lets them expire after some seconds."""
        head = self.prefix.encode()
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", self.prefix) + "????????????:*"
        cursor = -1
        while cursor != 0:
            cursor, keys = client.scan(max(cursor, 0), match=pattern, count=10_000)
            names = [(key, key[len(head) :].partition(b":")[0]) for key in keys]
            others = [
                key for key, name in names if GENERATION.fullmatch(name) and name.decode() != kept
            ]
            with client.pipeline(transaction=False) as pipeline:
                for key in others:
                    if not seconds:
                        pipeline.unlink(key)
                    else:
                        pipeline.expire(key, seconds)
                pipeline.execute()

    @contextmanager
    def _alone(self, client: Any, generation: str) -> Iterator[None]:
        """Holds the lock of a load. Raises StorageError if another process has it."""
        key = self.prefix + LOADING
        if not client.set(key, generation, nx=True, ex=LOCK_SECONDS):
            raise StorageError(
                f"another process loads lists into {self.name} under {self.prefix!r}. If it was "
                f"killed, try again in {LOCK_SECONDS} seconds"
            )
        try:
            yield
        finally:
            with suppress(self._redis.RedisError):
                if client.get(key) == generation.encode():
                    client.delete(key)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        client = client_of(self._url, self.name, CALL_SECONDS, CONNECT_SECONDS)
        try:
            client.ping()
            yield client
        except self._redis.RedisError as error:
            raise StorageError(
                f"{self.name}: {reason(error)}; the lists of an earlier load are unchanged"
            ) from error
        finally:
            client.close()


def _starts(owners: pa.Array) -> np.ndarray:
    """Where runs of equal values begin."""
    if not len(owners):
        return np.zeros(0, dtype=np.int64)
    changes = pc.not_equal(owners.slice(1), owners.slice(0, len(owners) - 1))
    return np.flatnonzero(np.append(True, changes.to_numpy(zero_copy_only=False)))
