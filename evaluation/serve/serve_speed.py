"""Requests a second of `recae serve` under wrk, beside a service around `implicit` by hand.

    python -m evaluation serve_speed [--quick]

ALS with the same factors on both sides, on loopback, in turns; clients and servers share the cores.
wrk cannot hold a rate: half load is an open loop of our own, which sends at half of the measured
rate whatever the answers take, and times each request from when it was due. Saturation: 16
connections. Overload: 400 connections, against 64 waiting places a worker. Reloads: the folder is
replaced twice a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.servers import free_port
from evaluation.serve.running import ask, data, running, served

SCRIPT = Path(__file__).with_name("wrk.lua")
SATURATED, OVERLOADED = 16, 400


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 for a failed request; 2 where wrk is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a second for each measurement")
    parser.add_argument("--items", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    items, seconds, rounds = options.items, 10, options.rounds
    if options.quick:
        items, seconds, rounds = 500, 1, 1
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        known = data(min(items, 10_000), items)
        models = [
            recae.ALS(latent=64, epochs=2).fit(known, seed=seed, progress=False) for seed in (0, 1)
        ]
        models[0].save(place / "model")
        np.save(place / "factors.npy", models[0].item_factors_)
        rng = np.random.default_rng(1)
        bodies = [{"history": rng.integers(0, items, 20).tolist(), "k": 10} for _ in range(500)]
        (place / "bodies").write_text("".join(json.dumps(body) + "\n" for body in bodies))
        result = {"items": items, "seconds": seconds, "connections": SATURATED, "rounds": []}
        for _ in range(rounds):
            result["rounds"].append(a_round(place, models, bodies, seconds))
    print(json.dumps(result, indent=2))
    if not options.quick:
        keep("serve-speed", result)
    return int(any(faulty(sides) for sides in result["rounds"]))


def a_round(place: Path, models: list[Any], bodies: list[Any], seconds: int) -> dict[str, Any]:
    """All services in turn."""
    found: dict[str, Any] = {}
    port = free_port()
    module = "evaluation.serve.by_hand"
    by_hand = [sys.executable, "-m", module, str(place / "factors.npy"), str(port)]
    with running(by_hand, port):
        found["by_hand"] = {"saturated": wrk(place, port, SATURATED, seconds)}
        found["by_hand"]["half"] = at_half(found["by_hand"], port, bodies, seconds)
    for workers in (1, 2):
        port = free_port()
        with running(served(place / "model", port, workers), port):
            side = found[f"recae_{workers}"] = {"saturated": wrk(place, port, SATURATED, seconds)}
            side["half"] = at_half(side, port, bodies, seconds)
            side["overload"] = wrk(place, port, OVERLOADED, seconds)
            side["after"] = {"status": ask(port, bodies[0])[0]}
            side["reloads"] = with_reloads(place, models, port, seconds)
    return found


def faulty(sides: dict[str, Any]) -> bool:
    """Whether a service of recae failed: other statuses than allowed, or broken connections."""
    for name, side in sides.items():
        if name == "by_hand":
            continue
        allowed = {"saturated": {"200"}, "reloads": {"200"}, "overload": {"200", "429", "503"}}
        for load, statuses in allowed.items():
            if not set(side[load]["statuses"]) <= statuses or side[load]["socket_errors"]:
                return True
        if side["half"]["failed"] or side["after"]["status"] != 200:
            return True
    return False


def wrk(place: Path, port: int, connections: int, seconds: int) -> dict[str, Any]:
    """What wrk measures, with the rate of answers with status 200."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "15s"]
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=True, timeout=seconds + 60,
        env={**os.environ, "HISTORIES": str(place / "bodies")},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    found["per_second"] = round(found["statuses"].get("200", 0) / found["seconds"], 1)
    return found


def with_reloads(place: Path, models: list[Any], port: int, seconds: int) -> dict[str, Any]:
    """wrk while the folder is replaced twice a second."""
    ends, made = threading.Event(), 0

    def replace() -> None:
        nonlocal made
        while not ends.wait(0.5):
            made += 1
            models[made % 2].save(place / "model", overwrite=True)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        found = wrk(place, port, SATURATED, max(seconds, 3))
    finally:
        ends.set()
        thread.join()
    return found | {"replaced": made}


def at_half(side: dict[str, Any], port: int, bodies: list[Any], seconds: int) -> dict[str, Any]:
    """The latency at half of the rate that a side has reached."""
    rate = max(side["saturated"]["per_second"] / 2, 1)
    return asyncio.run(open_loop(port, bodies, rate, seconds))


async def open_loop(port: int, bodies: list[Any], rate: float, seconds: int) -> dict[str, Any]:
    """Sends at a fixed rate on as many connections as are needed, at most 64."""
    loop = asyncio.get_running_loop()
    idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    for _ in range(64):
        idle.put_nowait(None)
    took: list[float] = []
    failed = 0

    async def one(body: Any, due: float) -> None:
        nonlocal failed
        connection = await idle.get()
        try:
            connection = connection or await asyncio.open_connection("127.0.0.1", port)
            reader, writer = connection
            text = json.dumps(body).encode()
            head = (
                "POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            writer.write(head.encode() + text)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            failed += not answer.startswith(b"http/1.1 200")
            took.append(loop.time() - due)
        except (OSError, EOFError):
            failed, connection = failed + 1, None
        idle.put_nowait(connection)

    start, tasks = loop.time() + 0.05, []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(due - loop.time(), 0))
        tasks.append(asyncio.create_task(one(bodies[number % len(bodies)], due)))
    await asyncio.gather(*tasks)
    while not idle.empty():
        connection = idle.get_nowait()
        if connection is not None:
            connection[1].close()
    p50, p99 = np.percentile(np.array(took or [0.0]) * 1000, [50, 99]).round(2).tolist()
    return {"rate": round(rate, 1), "sent": len(tasks), "failed": failed, "p50_ms": p50,
            "p99_ms": p99}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
