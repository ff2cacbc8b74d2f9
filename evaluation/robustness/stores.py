"""Serves users from every kind of store, with the same answers; then the stores fail in every way.

    python -m evaluation stores

A service answers users of the bundled MovieLens by their history, and by their id with a store in
Parquet, DuckDB, Redis and PostgreSQL; real servers are started on the loopback. Then a proxy before
Redis and PostgreSQL delays, drips, swallows or falsifies what they send, or the server is killed;
and the files of Parquet and DuckDB are damaged. Each row has the status of the first request, its
seconds, the slowest of the next ten, and the status once the fault is over.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.servers import (
    PostgreSQLServer,
    Proxy,
    RedisServer,
    free_port,
    postgresql_binaries,
)
from recae.serve import Settings, Shelf, create_app, open_store, write_histories

AFTER = 10
"""Requests during a fault, after the first."""


@contextmanager
def service(model: Path, url: str | None, failure: str = "raise") -> Iterator[Callable[..., Any]]:
    """A function that posts a body to /v1/recommend and returns the response."""
    store = None if url is None else open_store(url)
    try:
        app = create_app(
            Shelf({"ease": model}), store=store, settings=Settings(store_failure=failure)
        )
        with TestClient(app, raise_server_exceptions=False) as client:
            yield lambda **body: client.post("/v1/recommend", json={"k": 10, **body})
    finally:
        if store is not None:
            store.close()


def timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds of a call, and what it returned."""
    start = time.perf_counter()
    found = ask()
    return time.perf_counter() - start, found


def compare(model: Path, urls: dict[str, str], data: Any, users: int) -> dict[str, Any]:
    """For each store, how many answers equal those to the history, and the milliseconds of one."""
    asked = data.users.ids[:: max(1, data.n_users // users)][:users].tolist()
    rows: dict[str, Any] = {}
    with service(model, None) as ask:
        wanted = {}
        times = []
        for user in asked:
            row = int(data.users.encode([user])[0])
            codes = data.matrix.indices[data.matrix.indptr[row] : data.matrix.indptr[row + 1]]
            history = data.items.ids[codes].tolist()
            seconds, found = timed(lambda history=history: ask(history=history))
            wanted[user] = found.json()["items"]
            times.append(seconds)
    rows["history"] = {"equal": len(asked), "of": len(asked), "median_ms": _ms(times)}
    for kind, url in urls.items():
        times, equal = [], 0
        with service(model, url) as ask:
            for user in asked:
                seconds, found = timed(lambda user=user: ask(user=user))
                equal += found.status_code == 200 and found.json()["items"] == wanted[user]
                times.append(seconds)
        rows[kind] = {"equal": equal, "of": len(asked), "median_ms": _ms(times)}
    return rows


def _ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 2)


def shown(response: Any) -> str:
    """The status of a response, with its Retry-After or what its notes say of the store."""
    if response.status_code == 503:
        return f"503, Retry-After {response.headers['retry-after']}"
    if response.status_code != 200:
        return f"{response.status_code} {response.text[:80]}"
    failed = any(note.get("failed") for note in response.json()["notes"])
    return "200, popular items" if failed else "200"


def fault(
    ask: Callable[..., Any], user: Any, begin: Callable[[], object], end: Callable[[], object]
) -> dict[str, Any]:
    """What a user is answered while the store fails, and once it works again."""
    assert ask(user=user).status_code == 200
    begin()
    try:
        first, found = timed(lambda: ask(user=user))
        rest = [timed(lambda: ask(user=user))[0] for _ in range(AFTER)]
    finally:
        end()
    start = time.perf_counter()
    while True:
        later = shown(ask(user=user))
        waited = time.perf_counter() - start
        if later == "200" or waited > 30:
            break
        time.sleep(0.05)
    return {
        "answer": shown(found),
        "seconds": round(first, 2),
        "slowest_of_next": round(max(rest), 2),
        "last_of_next": round(rest[-1], 3),
        "afterwards": later,
        "well_after_seconds": round(waited, 1),
    }


FAULTS: dict[str, dict[str, Any]] = {
    "slow, in time (0.2 s)": {"how": "delay", "seconds": 0.2},
    "slow (3 s)": {"how": "delay", "seconds": 3.0},
    "a byte every 0.2 s": {"how": "drip", "seconds": 0.2},
    "never answers": {"how": "hole", "seconds": 0.0},
    "answers rubbish": {"how": "rubbish", "seconds": 0.0},
}


def server_faults(model: Path, url: str, server: Any, user: Any, fill: Callable[[], object]) -> Any:
    """The rows of a server: behind a proxy, then killed."""
    rows: dict[str, Any] = {}
    for failure in ("raise", "popular"):
        for name, settings in FAULTS.items():
            with Proxy(server.port) as proxy:

                def begin(proxy: Proxy = proxy, settings: Any = settings) -> None:
                    proxy.how, proxy.seconds = settings["how"], settings["seconds"]

                def end(proxy: Proxy = proxy) -> None:
                    proxy.how = "pass"

                through = url.replace(f":{server.port}/", f":{proxy.port}/")
                with service(model, through, failure) as ask:
                    rows[f"{name}, {failure}"] = fault(ask, user, begin, end)

        def back() -> None:
            server.start()
            fill()

        with service(model, url, failure) as ask:
            rows[f"killed, {failure}"] = fault(ask, user, server.stop, back)
    dead = url.replace(f":{server.port}/", f":{free_port()}/")
    with service(model, dead) as ask:
        seconds, found = timed(lambda: ask(user=user))
        rows["never there, raise"] = {"answer": shown(found), "seconds": round(seconds, 2)}
    return rows


def file_faults(model: Path, url: str, file: Path, user: Any) -> dict[str, Any]:
    """The rows of a file that is replaced by rubbish, and that is removed."""
    good = file.with_name("good")
    shutil.copyfile(file, good)

    def put(content: bytes | None) -> None:
        if content is None:
            file.unlink()
        else:
            part = file.with_name("part")
            part.write_bytes(content)
            os.replace(part, file)
        time.sleep(1.5)  # a change of Parquet is noticed after a second, in the background

    rows = {}
    with service(model, url) as ask:
        for name, content in {"replaced by rubbish": b"rubbish" * 999, "removed": None}.items():

            def begin(content: bytes | None = content) -> None:
                put(content)
                ask(user=user)  # notices it
                time.sleep(0.5)

            rows[name] = fault(ask, user, begin, lambda: put(good.read_bytes()))
    return rows


def print_table(title: str, rows: dict[str, Any]) -> None:
    print(f"\n{title}")
    for name, row in rows.items():
        print(f"  {name:<34}", "  ".join(f"{key} {value}" for key, value in row.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables. Returns 1 if an answer differs, or a store does not recover."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200, help="users to compare (default 200)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the result, not the usual")
    options = parser.parse_args(argv)
    data = recae.load_dataset().interactions
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recae-stores-")))
        place.chmod(0o755)  # PostgreSQL runs as another user
        model = recae.EASE().fit(data.binarised().filter(min_per_item=10)).save(place / "model")
        urls = {"parquet": f"parquet:{place}/plays.parquet"}
        urls["duckdb"] = f"duckdb:{place}/plays.duckdb?table=plays"
        servers: dict[str, Any] = {}
        if shutil.which("redis-server"):
            (place / "redis").mkdir()
            servers["redis"] = RedisServer(place / "redis")
            urls["redis"] = servers["redis"].url
        binaries = postgresql_binaries()
        if binaries is not None:
            (place / "postgresql").mkdir()
            servers["postgresql"] = PostgreSQLServer(binaries, place / "postgresql")
            urls["postgresql"] = f"{servers['postgresql'].url}?table=plays"
        for server in servers.values():
            stack.callback(server.stop)
        for url in urls.values():
            write_histories(url, data)
        answers = compare(model, urls, data, options.users)
        print_table("answers by id, equal to those by history", answers)
        user, faults = int(data.users.ids[0]), {}
        for kind, file in {"parquet": "plays.parquet", "duckdb": "plays.duckdb"}.items():
            faults[kind] = file_faults(model, urls[kind], place / file, user)
            print_table(kind, faults[kind])
        for kind, server in servers.items():

            def fill(kind: str = kind) -> None:
                write_histories(urls[kind], data, overwrite=True)

            faults[kind] = server_faults(model, urls[kind], server, user, fill)
            print_table(kind, faults[kind])
    missing = sorted({"redis", "postgresql"} - {*servers})
    result = {"suite": "stores", "answers": answers, "faults": faults, "not_installed": missing}
    print(f"\nkept in {keep('stores', result, options.out)}")
    rows = [row for of_kind in faults.values() for row in of_kind.values()]
    well = all(row.get("afterwards", "200") == "200" for row in rows)
    return 0 if well and all(row["equal"] == row["of"] for row in answers.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
