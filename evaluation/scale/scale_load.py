"""Loads one export into DuckDB, PostgreSQL and Redis, and looks users up in them.

    python -m evaluation scale_load [--quick]

Real servers on this machine. For each database: the seconds and rows a second of `load_export`, and
of a second load that replaces the first. A third load is killed with SIGKILL half way; the lists of
the load before must then be there, all of them. `verify_seconds` are in each load: every
part is read and its SHA-256 compared. `lookup_ms` is the median time to fetch the list of one user;
of DuckDB, with the opening of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.servers import PostgreSQLServer, RedisServer, postgresql_binaries
from evaluation.scale.scale_cluster import histories, timed
from recae.recommend.export import Export
from recae.scale import load_export

SIZES = {"users": 200_000, "items": 20_000, "k": 50}
QUICK = {"users": 5_000, "items": 1_000, "k": 20}
LOOKUPS = 200
DIE = (
    "import sys\n"
    "from evaluation.scale.scale_load import load_and_die\n"
    "load_and_die(sys.argv[1], sys.argv[2], int(sys.argv[3]))\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if any lists were not there after a kill."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small export, not kept")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # PostgreSQL runs as another user
        found = measured(Path(name), QUICK if asked.quick else SIZES)
    print(json.dumps(found, indent=2))
    if not asked.quick:
        print(f"kept in {keep('scale-load', found)}")
    return int(not all(one["whole_after_a_kill"] for one in found["databases"].values()))


def measured(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
    """The rates of all databases that are installed here."""
    plays = histories(sizes["users"], sizes["items"])
    data = recae.Interactions.from_frame(plays, progress=False)
    few = data.select_users(np.arange(min(data.n_users, 20_000)))
    model = recae.PureSVD(latent=16).fit(few, progress=False)
    model.export(folder / "lists", data, k=sizes["k"], progress=False)
    export, found = recae.open_export(folder / "lists"), dict[str, Any]()
    verify = timed(export.verify)
    with ExitStack() as stack:
        for name, url, lookup in databases(folder, stack):
            first = timed(lambda url=url: load_export(export, url, progress=False))
            again = timed(lambda url=url: load_export(export, url, overwrite=True, progress=False))
            before = times(lookup, data.users.ids)
            done = subprocess.run(
                [sys.executable, "-c", DIE, folder / "lists", url, str(export.rows // 2)]
            )
            some = data.users.ids[:: max(data.n_users // 50, 1)].tolist()
            whole = done.returncode == -signal.SIGKILL and all(
                len(lookup(user)) == sizes["k"] for user in some
            )
            found[name] = {
                "seconds": first,
                "rows_a_second": round(export.rows / first),
                "replace_seconds": again,
                "lookup_ms": round(1000 * before, 3),
                "whole_after_a_kill": whole,
            }
    about = {"rows": export.rows, "bytes": sum(part["bytes"] for part in export.manifest["parts"])}
    loads = {"databases": found, "load_average": os.getloadavg()[0]}
    return {**sizes, **about, "verify_seconds": verify, **loads}


def load_and_die(lists: str, url: str, rows: int) -> None:
    """Loads, and is killed when so many rows are out."""
    batches = Export.batches

    def some(self: Export, columns: Any = None) -> Iterator[Any]:
        left = rows
        for batch in batches(self, columns):
            left -= len(batch)
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    Export.batches = some  # type: ignore[method-assign]
    load_export(lists, url, overwrite=True, progress=False)


def times(lookup: Callable[[int], list[Any]], users: np.ndarray) -> float:
    """The median seconds of a look-up."""
    asked = np.random.default_rng(1).choice(users, LOOKUPS)
    found = []
    for user in asked.tolist():
        started = time.perf_counter()
        lookup(user)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def databases(
    folder: Path, stack: ExitStack
) -> Iterator[tuple[str, str, Callable[[int], list[Any]]]]:
    """Name, URL, and a function that fetches the list of a user."""
    import duckdb
    import psycopg
    import redis

    query = "SELECT item_id FROM lists WHERE user_id = {} ORDER BY rank"
    path = str(folder / "lists.duckdb")

    def from_duckdb(user: int) -> list[Any]:
        with duckdb.connect(path, read_only=True) as database:  # an open file cannot be loaded into
            return database.execute(query.format(user)).fetchall()

    yield "duckdb", f"duckdb:{path}?table=lists", from_duckdb
    binaries = postgresql_binaries()
    if binaries is not None:
        (folder / "postgresql").mkdir()
        server = PostgreSQLServer(binaries, folder / "postgresql")
        stack.callback(server.stop)
        connection = psycopg.connect(server.url, autocommit=True)
        stack.callback(connection.close)
        yield (
            "postgresql",
            f"{server.url}?table=lists",
            lambda user: connection.execute(query.format(user)).fetchall(),
        )
    (folder / "redis").mkdir()
    cache = RedisServer(folder / "redis")
    stack.callback(cache.stop)
    client = redis.Redis.from_url(cache.url)
    stack.callback(client.close)

    def from_redis(user: int) -> list[Any]:
        generation = client.get("recae:lists:current").decode()
        return client.lrange(f"recae:lists:{generation}:{user}", 0, -1)

    yield "redis", cache.url, from_redis
