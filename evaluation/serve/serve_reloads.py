"""Answers from threads and workers during reloads: each must be that of one of two models.

    python -m evaluation serve_reloads [--quick]

Part 1: eight threads of one process share a `Shelf`. Part 2: eight client threads ask `recae serve`
with four workers. In both, the folder of the model is replaced 50 times while half of the 100,000
calls go to each part. The answers of both models to each history are computed beforehand.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import keep
from evaluation.kit.servers import free_port
from evaluation.serve.running import ask_on, children, data, running, served
from recae.serve import Shelf

THREADS, WORKERS, K, HISTORIES = 8, 4, 10, 200
Answer = tuple[str, list[int], list[float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if an answer was wrong or a call failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="seconds: 2,000 calls, 4 reloads")
    parser.add_argument("--items", type=int, default=2000, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    calls, reloads = (1000, 2) if options.quick else (50_000, 25)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        known = data(1000 if options.quick else 10_000, options.items)
        models = [recae.EASE(l2=l2).fit(known, progress=False) for l2 in (10.0, 1000.0)]
        rng = np.random.default_rng(1)
        histories = [rng.integers(0, options.items, 20).tolist() for _ in range(HISTORIES)]
        expected = {m.fingerprint(): [top(m, history) for history in histories] for m in models}
        load = Load(models, place, expected, histories, calls, reloads)
        result = {"items": options.items, "threads": in_threads(load), "service": served_by(load)}
    print(result)
    if not options.quick:
        keep("serve-reloads", result)
    parts = (result["threads"], result["service"])
    return int(any(part["wrong"] or part["failed"] or part["reloads"] < reloads for part in parts))


def top(model: Any, history: list[int]) -> tuple[list[int], list[float]]:
    """The list of a model, by the interface with frames."""
    frame = model.recommend(history=sorted(set(history)), k=K)
    return frame["item_id"].tolist(), frame["score"].tolist()


class Load:
    """Calls from eight threads while the folder is replaced, and what came of them."""

    def __init__(
        self, models: list[Any], place: Path, expected: Any, histories: list[list[int]],
        calls: int, reloads: int,
    ) -> None:  # fmt: skip
        self.models, self.place, self.expected = models, place, expected
        self.histories, self.calls, self.reloads = histories, calls, reloads
        models[0].save(place)

    def run(self, asker: Callable[[], Callable[[list[int]], Answer]], swapped: Any) -> Any:
        """The report. swapped: called after the folder was replaced. The next replacement waits
        until all threads get the new model; the threads go on until the last one."""
        seconds: list[float] = []
        versions: dict[str, int] = {}
        faults: dict[str, int] = {"wrong": 0, "failed": 0}
        lock, share = threading.Lock(), self.calls // THREADS
        done, last, finished = [0] * THREADS, [""] * THREADS, threading.Event()

        def one(thread: int) -> None:
            call, mine, seen, bad = asker(), [], {}, {"wrong": 0, "failed": 0}
            number = 0
            while number < share or not finished.is_set():
                number += 1
                place = (number * THREADS + thread) % len(self.histories)
                start = time.perf_counter()
                try:
                    version, ids, scores = call(self.histories[place])
                except Exception as error:
                    print(f"failed: {error!r}")
                    bad["failed"] += 1
                    call = asker()
                    continue
                mine.append(time.perf_counter() - start)
                seen[version] = seen.get(version, 0) + 1
                right = self.expected.get(version)
                if right is None or not same(right[place], ids, scores):
                    bad["wrong"] += 1
                done[thread] = number
                last[thread] = version
            with lock:
                seconds.extend(mine)
                for name, count in seen.items():
                    versions[name] = versions.get(name, 0) + count
                for name, count in bad.items():
                    faults[name] += count

        threads = [threading.Thread(target=one, args=(n,)) for n in range(THREADS)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        made = 0
        for turn in range(1, self.reloads + 1):
            while sum(done) < self.calls * turn / (self.reloads + 1):
                if not any(thread.is_alive() for thread in threads):
                    break
                time.sleep(0.01)
            self.models[turn % 2].save(self.place, overwrite=True)
            swapped()
            wanted, patience = self.models[turn % 2].fingerprint(), time.monotonic() + 30
            while set(last) != {wanted} and time.monotonic() < patience:
                time.sleep(0.01)
            made += set(last) == {wanted}
        finished.set()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - begin
        p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99]).round(2).tolist()
        return {
            "calls": len(seconds), "reloads": made, "versions": versions, **faults,
            "per_second": round(len(seconds) / took, 1), "p50_ms": p50, "p99_ms": p99,
        }  # fmt: skip


def same(right: tuple[list[int], list[float]], ids: list[int], scores: list[float]) -> bool:
    """Whether a list is the expected one, up to ties of scores within 1e-5."""
    close = len(ids) == len(right[0]) and np.allclose(scores, right[1], rtol=1e-5, atol=1e-6)
    return bool(close and (ids == right[0] or sorted(ids) == sorted(right[0])))


def in_threads(load: Load) -> Any:
    """Part 1: the shelf in this process."""
    shelf = Shelf({"model": load.place})

    def asker() -> Callable[[list[int]], Answer]:
        def call(history: list[int]) -> Answer:
            taken = shelf.get()
            ids, scores = taken.model.recommend_ids(history, K)
            return taken.version, ids, scores

        return call

    return load.run(asker, shelf.refresh)


def served_by(load: Load) -> Any:
    """Part 2: the service with four workers."""
    port = free_port()
    with running(served(load.place, port, 1), port) as process:
        alone = memory(process.pid)
    with running(served(load.place, port, WORKERS), port) as process:

        def asker() -> Callable[[list[int]], Answer]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

            def call(history: list[int]) -> Answer:
                status, answer = ask_on(connection, {"history": history, "k": K})
                if status != 200:
                    raise RuntimeError(f"status {status}: {answer}")
                items = answer["items"]
                ids, scores = [i["item_id"] for i in items], [i["score"] for i in items]
                return answer["version"], ids, scores

            return call

        found = load.run(asker, lambda: None)
        workers = [memory(pid) for pid in children(process.pid)]
    return found | {"workers": workers, "one_process": alone}
