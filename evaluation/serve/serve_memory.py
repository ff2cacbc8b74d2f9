"""Loads a running service for an hour, and says whether its memory stays flat.

    python -m evaluation serve_memory [--seconds 3600]

Four client threads ask `recae serve` with two workers for lists, batches in JSON and Arrow, similar
items, reasons, rules, tensors, titles and metrics; a tenth of the bodies are fuzzed. The folder of
the model is replaced every 20 s. Memory is sampled for the parent and its workers together:
what is no file (`heap`), all that is resident (`rss`), and the same with each process's share of
pages that several have (`pss`).

The first quarter is left out: it fills caches. The rest is cut into 12 blocks, and the slope is
the one of Theil and Sen over the medians of the blocks, with its interval of 95 %. Memory is flat
if that interval holds 0 or less, or if it grows by less than 1 % over the time that is measured.
`heap` decides. The others change without a leak: the system drops pages of files and reads them
again, pages that workers share with the parent become their own when they are written, and other
programs use the same libraries.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import keep
from evaluation.kit.servers import free_port
from evaluation.serve.running import children, data, running, served
from evaluation.serve.serve_fuzz import ARROW, JSON, fault, fuzzed, stream

THREADS, WORKERS, ITEMS, BLOCKS = 4, 2, 500, 12
KINDS = ("heap", "rss", "pss")
REPLACED = 20.0
"""Seconds between two models."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 for a failed request and for memory that grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="(default: %(default)s)")
    seconds: float = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder) / "ease", free_port()
        plays = data(1000, ITEMS)
        models = [recae.EASE(l2=l2).fit(plays, progress=False) for l2 in (10.0, 1000.0)]
        models[0].save(place)
        with running(served(place, port, WORKERS, name="ease"), port) as process:
            found = loaded(process.pid, port, models, place, seconds)
    samples = found.pop("samples")
    found["memory"] = {kind: trend(samples, kind) for kind in KINDS}
    found["samples"] = samples[:: max(1, len(samples) // 240)]
    print(json.dumps({name: value for name, value in found.items() if name != "samples"}, indent=2))
    if seconds >= 600:
        print(f"kept in {keep('serve-memory', found)}")
    return int(found["faults"] > 0 or not found["memory"]["heap"]["flat"])


def request(rng: random.Random) -> tuple[str, str, bytes | None, str]:
    """Method, path, body and type of one request."""
    history = [rng.randrange(ITEMS + 20) for _ in range(rng.randint(0, 40))]
    tensor = {"name": "history", "shape": [1, len(history)], "datatype": "INT64", "data": history}
    rules = {"block": history[:5], "min_score": 0.0, "explore": 0.1, "seed": rng.randrange(9)}
    bodies: list[tuple[str, Any]] = [
        ("/v1/recommend", {"history": history, "k": rng.randint(1, 50)}),
        ("/v1/recommend", {"history": history, "user": rng.randrange(10**9), "rules": rules}),
        ("/v1/recommend", {"history": history, "explain": 3}),
        ("/v1/recommend:batch", {"requests": [{"history": history}] * rng.randint(1, 20)}),
        ("/v1/similar", {"items": history[:5], "k": 5}),
        ("/v1/explain", {"history": history, "items": history[:3]}),
        ("/v2/models/ease/infer", {"inputs": [tensor]}),
    ]
    choice = rng.random()
    if choice < 0.1:
        return ("POST", *fuzzed(rng))
    if choice < 0.15:
        return "POST", "/v1/recommend:batch", stream(), ARROW
    if choice < 0.2:
        return "GET", f"/v1/items?q={rng.randrange(ITEMS)}", None, JSON
    if choice < 0.21:
        return "GET", rng.choice(("/metrics", "/v1/models", "/openapi.json", "/none")), None, JSON
    path, body = rng.choice(bodies)
    return "POST", path, json.dumps(body).encode(), JSON


def loaded(pid: int, port: int, models: list[Any], place: Path, seconds: float) -> dict[str, Any]:
    """Statuses, faults and samples of memory of a service under load."""
    end, statuses = time.monotonic() + seconds, [Counter[int]() for _ in range(THREADS)]
    faults: list[str] = []

    def ask(number: int) -> None:
        rng = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < end:
            method, path, body, kind = request(rng)
            try:
                connection.request(method, path, body, {"Content-Type": kind})
                response = connection.getresponse()
                content, status = response.read(), response.status
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"{path}: {error!r}")
                connection.close()
                continue
            statuses[number][status] += 1
            wrong = fault(path, status, content)
            if wrong is not None:
                faults.append(f"{path}: {wrong}: {content[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    start, samples, replaced = time.monotonic(), [], 0
    for thread in threads:
        thread.start()
    pause = max(min(seconds / 240, 5.0), 0.1)
    while (now := time.monotonic()) < end:
        if (now - start) // REPLACED > replaced:
            replaced += 1
            models[replaced % 2].save(place, overwrite=True)
        each = [memory(one) for one in (pid, *children(pid))]
        sums = {kind: round(sum(one[kind] for one in each), 1) for kind in KINDS}
        samples.append({"seconds": round(now - start, 1), "processes": len(each), **sums})
        time.sleep(min(pause, max(end - time.monotonic(), 0)))
    for thread in threads:
        thread.join()
    if {one["processes"] for one in samples} != {1 + WORKERS}:
        faults.append("a worker ended")
    total: Counter[int] = sum(statuses, Counter[int]())
    for text in faults[:10]:
        print(text)
    return {
        "seconds": seconds, "threads": THREADS, "workers": WORKERS, "requests": total.total(),
        "per_second": round(total.total() / seconds, 1), "replaced": replaced,
        "statuses": dict(sorted(total.items())), "faults": len(faults), "samples": samples,
    }  # fmt: skip


def trend(samples: Sequence[dict[str, float]], kind: str) -> dict[str, Any]:
    """Whether a kind of memory (MB) is flat after the first quarter of the samples."""
    rest = samples[len(samples) // 4 :]
    if len(rest) < 2 * BLOCKS:
        raise recae.ConfigError(f"{len(samples)} samples are too few: run it for longer")
    times, values = (np.array([one[name] for one in rest]) for name in ("seconds", kind))
    blocks = np.array_split(np.arange(len(rest)), BLOCKS)
    middle = [float(times[block].mean()) for block in blocks]
    median = [float(np.median(values[block])) for block in blocks]
    slope, _, low, high = (float(value) for value in theilslopes(median, middle))
    usual, span = float(np.median(values)), float(times[-1] - times[0])
    return {
        "median_mb": round(usual, 1), "first_mb": median[0], "last_mb": median[-1],
        "measured_seconds": round(span, 1), "mb_an_hour": round(slope * 3600, 2),
        "interval": [round(low * 3600, 2), round(high * 3600, 2)],
        "growth": round(slope * span / usual, 5), "flat": low <= 0 or slope * span < usual / 100,
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
