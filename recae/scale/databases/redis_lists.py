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

from recae.errors import DataError, StorageError, warn
from recae.recommend.export.blocks import whole_lists
from recae.scale.databases.tables import UNCHANGED
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

LENGTH = 12
GENERATION = re.compile(rb"[0-9a-f]{%d}" % LENGTH)


class RedisLists:
    """Lists of item ids, the best first, under PREFIXGENERATION:USER; PREFIXcurrent is the name of
    the generation that counts, which is set when all lists are there."""

    def __init__(self, url: str, name: str, prefix: str) -> None:
        self.name, self.prefix, self._url = f"the database {name}", prefix, url
        self._redis = library()
        client_of(url, self.name, CALL_SECONDS, CONNECT_SECONDS)  # a wrong URL is an error now

    def check(self, overwrite: bool) -> None:
        """As in `Database`."""
        with self._connected() as client:
            self._find(client, overwrite)

    def load(self, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """As in `Database`."""
        generation = uuid.uuid4().hex[:LENGTH]
        with self._connected() as client, self._alone(client, generation):
            before = self._find(client, overwrite)
            self._expire(client, generation, before)  # what killed loads have left
            try:
                rows.compare(self.name, *self._write(client, rows, generation))
                self._switch(client, generation, json.dumps(about))
            except BaseException:
                with suppress(self._redis.RedisError):
                    self._delete(client, generation)
                raise
            try:
                self._expire(client, generation, generation)
            except (self._redis.RedisError, StorageError) as error:
                warn(
                    f"the lists are loaded, but those of the load before are still in {self.name}: "
                    f"{reason(error)}. The next load deletes them"
                )

    def _write(self, client: Any, rows: Any, generation: str) -> tuple[int, int]:
        """Writes all lists; the numbers of their elements and of lists."""
        head, found, lists = f"{self.prefix}{generation}:", 0, 0
        evicted = self._evicted(client)
        columns = [rows.owner, rows.listed, "rank"]
        for block in whole_lists(batch.select(columns) for batch in rows.batches()):
            owners, items = (column.cast(pa.string()) for column in block.columns[:2])
            names = owners.take(pa.array(block.starts[:-1]))
            wrong = np.flatnonzero(block.columns[2].to_numpy() != block.places + 1)
            if len(wrong):
                raise DataError(
                    f"the rows of {rows.owner} {owners[wrong[0]].as_py()} in the export do not "
                    "follow each other in the order of their ranks: sort them"
                )
            self._refresh(client, generation)
            lengths = self._send(client, _pushes(head, names, items, block.starts))
            if not np.array_equal(lengths, np.diff(block.starts)):
                raise StorageError(
                    f"{self.name} has lists of other lengths than were written: does another "
                    f"program write to keys that begin with {self.prefix!r}?"
                )
            found, lists = found + len(items), lists + len(names)
        evicted = self._evicted(client) - evicted
        if evicted > 0:
            raise StorageError(
                f"{self.name} has deleted {evicted:,} keys meanwhile to keep within its maxmemory, "
                f"perhaps some of these lists: raise it. {UNCHANGED}"
            )
        return found, lists

    def _evicted(self, client: Any) -> int:
        """Keys that the server has deleted for want of memory; 0 if it may not be asked."""
        try:
            return int(client.info("stats").get("evicted_keys", 0))
        except self._redis.ResponseError:
            return 0

    def _refresh(self, client: Any, generation: str) -> None:
        """Keeps the lock of this load."""
        with client.pipeline(transaction=False) as pipeline:
            pipeline.expire(self.prefix + LOADING, LOCK_SECONDS)
            pipeline.get(self.prefix + LOADING)
            self._check_holder(pipeline.execute()[1], generation)

    @staticmethod
    def _send(client: Any, commands: pa.Array) -> list[int]:
        """The answers to commands that are encoded already: redis-py takes 5 times as long."""
        connection = client.connection
        try:
            connection.send_packed_command([commands.buffers()[2].to_pybytes()])
            return [connection.read_response() for _ in range(len(commands))]
        except BaseException:
            connection.disconnect()  # further answers may be on their way
            raise

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

    def _expire(self, client: Any, load: str, kept: str | None) -> None:
        """Lets the keys of all generations but one expire, and keeps the lock of this load: another
        one, whose lists would expire too, must not begin meanwhile. Raises StorageError."""
        for keys in self._keys(client, "?" * LENGTH):
            self._refresh(client, load)
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    name = key[len(self.prefix.encode()) :].partition(b":")[0]
                    if GENERATION.fullmatch(name) and name.decode() != kept:
                        pipeline.expire(key, GRACE_SECONDS)
                pipeline.execute()

    def _delete(self, client: Any, load: str) -> None:
        """Deletes the lists of a load that has failed; unless they count, as after an answer that
        was lost."""
        if client.get(self.prefix + CURRENT) != load.encode():
            for keys in self._keys(client, load):
                if keys:
                    client.unlink(*keys)

    def _keys(self, client: Any, generation: str) -> Iterator[list[bytes]]:
        """The keys of generations whose name matches, some thousands at a time."""
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", self.prefix) + f"{generation}:*"
        cursor = -1
        while cursor != 0:
            cursor, keys = client.scan(max(cursor, 0), match=pattern, count=10_000)
            yield keys

    @contextmanager
    def _alone(self, client: Any, generation: str) -> Iterator[None]:
        """Holds the lock of a load. Raises StorageError if another process has it."""
        key = self.prefix + LOADING

        def release(pipeline: Any) -> None:
            if pipeline.get(key) == generation.encode():
                pipeline.multi()
                pipeline.delete(key)

        if not client.set(key, generation, nx=True, ex=LOCK_SECONDS):
            raise StorageError(
                f"another process loads lists into {self.name} under {self.prefix!r}. If it was "
                f"killed, try again in {LOCK_SECONDS} seconds"
            )
        try:
            yield
        finally:
            with suppress(self._redis.RedisError):
                client.transaction(release, key)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """One connection for a load, which is closed afterwards. Errors of Redis become a
        StorageError."""
        pool = client_of(self._url, self.name, CALL_SECONDS, CONNECT_SECONDS).connection_pool
        client = None
        try:
            client = self._redis.Redis(connection_pool=pool, single_connection_client=True)
            client.ping()
            yield client
        except self._redis.RedisError as error:
            raise StorageError(f"{self.name}: {reason(error)}. {UNCHANGED}") from error
        finally:
            if client is not None:
                client.close()
            pool.disconnect()


def _pushes(head: str, names: pa.Array, items: pa.Array, bounds: np.ndarray) -> pa.Array:
    """A command RPUSH for each list, in the protocol of Redis.

    head: what comes before the names in keys; items: the elements of all lists; bounds: where each
    list begins, and the end.
    """

    def joined(*parts: Any) -> pa.Array:
        return pc.binary_join_element_wise(*parts, "")

    def size(texts: pa.Array) -> pa.Array:
        return pc.binary_length(texts).cast(pa.string())

    each = joined("$", size(items), "\r\n", items, "\r\n")
    elements = pc.binary_join(pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), each), "")
    keys, words = joined(head, names), pa.array(np.diff(bounds) + 2).cast(pa.string())
    push = "\r\n$5\r\nRPUSH\r\n$"
    return joined("*", words, push, size(keys), "\r\n", keys, "\r\n", elements)
