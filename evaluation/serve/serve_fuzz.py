"""Sends fuzzed bodies to a running service, or has schemathesis try its OpenAPI schema.

    python -m evaluation serve_fuzz [--bodies 10000]
    python -m evaluation serve_fuzz --schemathesis [--examples 100]

A service with an EASE of 30 items, titles, a store of histories and a token runs on the loopback.

Bodies: valid bodies of every endpoint are mutated: bytes, the structure and the types of JSON,
Arrow streams and tensors. Any status from 500 on is a fault, 503 too, and so is a body that is not
in the form of errors.

schemathesis: every check but two. `positive_data_acceptance` wants every body that fits the schema
to be answered, but the ids that are right depend on the model, and rules on its items; how many
bodies were answered is counted instead. `ensure_resource_availability` is about resources that a
client creates, and there are none.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import keep
from evaluation.kit.servers import free_port
from evaluation.serve.running import running, served
from recae.serve import write_histories

TOKEN = "token-of-the-fuzz"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WITHOUT = ("positive_data_acceptance", "ensure_resource_availability")
ITEMS = np.array([1, 260, 1196, *range(2, 29)])
"""The ids of the items; those of the examples of the schema are among them."""

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
STRANGE: list[Any] = [None, True, -1, 0, 2**63, 1.5, "", "é" * 300, [], {}, [[]], "1", 10**30]
HISTORY = {"name": "history", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/recommend", {"history": [1, 2], "k": 3, "explain": 1, "rules": {"min_score": 0}}),
    ("/v1/recommend:batch", {"requests": [{"history": [1]}, {"history": [], "user": 3}]}),
    ("/v1/similar", {"items": [1, 2], "k": 3, "exclude_items": [4]}),
    ("/v1/explain", {"history": [1, 2], "items": [3], "top": 2}),
    ("/v2/models/ease/infer", {"parameters": {"k": 2}, "inputs": [HISTORY]}),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result; returns 1 after a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bodies", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--schemathesis", action="store_true", help="have schemathesis try it")
    parser.add_argument(
        "--examples", type=int, default=100, help="of schemathesis, for each operation and phase"
        " (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="seconds; nothing is kept")
    options = parser.parse_args(argv)
    if options.quick:
        options.bodies, options.examples = 500, 5
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as (port, pid):
        if options.schemathesis:
            name = "serve-schemathesis"
            found = schemathesis(Path(folder), port, options.examples, options.seed)
        else:
            name, found = "serve-fuzz", bodies(port, pid, options.bodies, options.seed)
    print(json.dumps(found, indent=2))
    if not options.quick:
        print(f"kept in {keep(name, found)}")
    return int(found["faults"] > 0)


@contextlib.contextmanager
def service(folder: Path) -> Iterator[tuple[int, int]]:
    """The port and the process of a service with everything that has an effect on answers."""
    pairs = np.unique(np.random.default_rng(0).integers(0, (40, 30), (400, 2)), axis=0)
    plays = pd.DataFrame({"user_id": pairs[:, 0], "item_id": ITEMS[pairs[:, 1]]})
    titles = pd.DataFrame({"item_id": ITEMS[:20], "title": [f"Film {item}" for item in ITEMS[:20]]})
    titles["genres"] = ["drama|war" if item % 3 else "comedy" for item in ITEMS[:20]]
    titles.to_csv(folder / "titles.csv", index=False)
    write_histories(f"parquet:{folder / 'plays.parquet'}", plays)
    model, port = recae.EASE().fit(plays).save(folder / "ease"), free_port()
    more = ["--titles", str(folder / "titles.csv"), "--store", f"parquet:{folder}/plays.parquet"]
    with running(served(model, port, 1, *more, name="ease"), port, TOKEN) as process:
        yield port, process.pid


# Mutated bodies.


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
    return path, spoiled(raw, rng) if rng.random() < 0.4 else raw, JSON


def fault(path: str, status: int, body: bytes) -> str | None:
    """What is wrong with an answer: a status from 500 on, or another form than that of errors."""
    if status >= 500:
        return f"status {status}"
    if status == 200:
        return None
    try:
        error = json.loads(body)["error"]
        if path.startswith("/v2"):
            fits = isinstance(error, str) and bool(error)
        else:
            fits = {"code", "message"} <= {*error} <= {"code", "message", "parameter"}
            fits = fits and all(isinstance(text, str) and text for text in error.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    return None if fits else f"the body of status {status} is not in the form of errors"


def bodies(port: int, pid: int, count: int, seed: int) -> dict[str, Any]:
    """The statuses of fuzzed bodies, the slowest answer, and the memory after each tenth."""
    rng, statuses = random.Random(seed), Counter[int]()
    resident, faults, slowest = [], 0, 0.0
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, headers=BEARER) as client:
        for number in range(count):
            path, body, kind = fuzzed(rng)
            start = time.perf_counter()
            found = client.post(path, content=body, headers={"content-type": kind})
            slowest = max(slowest, time.perf_counter() - start)
            statuses[found.status_code] += 1
            wrong = fault(path, found.status_code, found.content)
            if wrong is not None:
                faults += 1
                print(wrong, path, body[:300], found.text[:200])
            if (number + 1) % max(count // 10, 1) == 0:
                resident.append(memory(pid)["rss"])
    return {
        "bodies": count, "seed": seed, "faults": faults, "statuses": dict(sorted(statuses.items())),
        "slowest_seconds": round(slowest, 3), "resident_mb": resident,
    }  # fmt: skip


# The OpenAPI schema.


def schemathesis(folder: Path, port: int, examples: int, seed: int) -> dict[str, Any]:
    """The counts of a run of schemathesis over the schema of the service."""
    report = folder / "report.json"
    names = '[parameters]\n"query.model" = "ease"\n'  # any other name is 404, and tries nothing
    (folder / "schemathesis.toml").write_text(names)
    command = [sys.executable, "-m", "schemathesis.cli", "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}"]
    command += ["--checks", "all", "--exclude-checks", ",".join(WITHOUT), "--seed", str(seed)]
    command += ["-n", str(examples), "--continue-on-failure", "--request-timeout", "20"]
    command += ["--generation-database", "none", "--no-color", "--report", "json"]
    command += ["--report-json-path", str(report)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if not report.exists():
        raise RuntimeError(f"schemathesis did not run: {done.stdout}{done.stderr}")
    found = json.loads(report.read_text())
    if done.returncode or found["failures"] or found["errors"]:
        print(done.stdout)
    faults = sum(one["count"] for one in found["failures"]) + len(found["errors"])
    rates: dict[str, Counter[str]] = {}
    for operation, phases in found["valid_rates"].items():
        rates[operation] = sum((Counter(phase) for phase in phases.values()), Counter[str]())
    return {
        "examples": examples, "seed": seed, "faults": faults or int(done.returncode != 0),
        "checks": f"all but {' and '.join(WITHOUT)}", "operations": found["operations"],
        "phases": {name: phase["status"] for name, phase in found["phases"].items()},
        "test_cases": found["test_cases"], "failures": found["failures"],
        "valid_bodies": {name: dict(count) for name, count in rates.items()},
        "seconds": round(found["running_time"], 1), "schemathesis": found["schemathesis_version"],
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
