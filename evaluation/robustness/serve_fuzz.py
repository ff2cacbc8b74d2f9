"""Sends fuzzed bodies to a running service: no 5xx, no hang, and how its memory grows.

    python -m evaluation serve_fuzz [--bodies 10000]

A service with an EASE of 30 items runs on the loopback. Valid bodies of every endpoint are mutated:
bytes, the structure and the types of JSON, Arrow streams and tensors. 503 counts as a fault too.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa

import recae
from evaluation.kit.servers import free_port

ARROW = "application/vnd.apache.arrow.stream"
STRANGE: list[Any] = [None, True, -1, 0, 2**63, 1.5, "", "é" * 300, [], {}, [[]], "1", 10**30]
HISTORY = {"name": "history", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/recommend", {"history": [1, 2], "k": 3, "explain": 1, "rules": {"min_score": 0}}),
    ("/v1/recommend:batch", {"requests": [{"history": [1]}, {"history": [], "user": 3}]}),
    ("/v1/similar", {"items": [1, 2], "k": 3, "exclude_items": [4]}),
    ("/v1/explain", {"history": [1, 2], "items": [3], "top": 2}),
    ("/v2/models/ease/infer", {"parameters": {"k": 2}, "inputs": [HISTORY]}),
]


def stream() -> bytes:
    """A valid Arrow stream."""
    table = pa.table({"user_id": [1, 1, 2], "item_id": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def mutated(value: Any, rng: random.Random) -> Any:
    """The value with one place changed to something strange, removed or repeated."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        key = rng.choice([*value]) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = mutated(value[key], rng)
        return value
    return copy.deepcopy(rng.choice(STRANGE))


def spoiled(body: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut or repeated."""
    found = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found[: rng.randint(1, len(found))] if rng.random() < 0.3 else found)


def fuzzed(rng: random.Random) -> tuple[str, bytes, str]:
    """The path, body and type of one request."""
    if rng.random() < 0.2:
        return "/v1/recommend:batch", spoiled(stream(), rng), ARROW
    path, body = copy.deepcopy(rng.choice(BODIES))
    raw = json.dumps(mutated(body, rng)).encode()
    return path, spoiled(raw, rng) if rng.random() < 0.4 else raw, "application/json"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the statuses and the memory; returns 1 after a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=10_000)
    bodies: int = parser.parse_args(argv).bodies
    pairs = np.unique(np.random.default_rng(0).integers(0, (40, 30), (400, 2)), axis=0)
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    rng, port = random.Random(0), free_port()
    statuses: Counter[int] = Counter()
    memory, faults, slowest = [], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        model = recae.EASE().fit(frame).save(Path(folder) / "ease")
        command = [sys.executable, "-m", "recae", "serve", f"ease={model}", "--port", str(port)]
        server = subprocess.Popen([*command, "--no-log"], stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                for _ in range(300):
                    try:
                        client.get("/v2/health/ready").raise_for_status()
                        break
                    except httpx.HTTPError:
                        time.sleep(0.2)
                for number in range(bodies):
                    path, body, kind = fuzzed(rng)
                    start = time.perf_counter()
                    found = client.post(path, content=body, headers={"content-type": kind})
                    slowest = max(slowest, time.perf_counter() - start)
                    statuses[found.status_code] += 1
                    if found.status_code >= 500:
                        faults += 1
                        print(found.status_code, path, body[:300], found.text[:200])
                    if number % max(bodies // 10, 1) == 0:
                        memory.append(psutil.Process(server.pid).memory_info().rss >> 20)
        finally:
            server.terminate()
            server.wait(20)
    print(f"{bodies:,} bodies: {dict(sorted(statuses.items()))}; slowest {slowest:.2f} s")
    print(f"resident memory, MiB: {memory}")
    return int(faults > 0)
