"""Fits and recommends in eight threads, after a fork and in spawned processes: same results.

    python -m evaluation concurrency

Runs every model on the bundled MovieLens (items with at least 10 users: eight fits of EASE share
two cores). It records the global state of the process before and after: states of the random
generators, numbers of threads, flags of torch, warning filters, environment. A child process that
hangs is killed and counts as different.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
import torch

import recae
from evaluation.kit.provenance import keep

THREADS, PATIENCE = 8, 120
SMALL: dict[str, dict[str, Any]] = {
    "latent": {"latent": 16},
    "epochs": {"epochs": 2},
    "hidden": {"hidden": (32,)},
    "width": {"width": 24},
    "depth": {"depth": 2},
    "decoder_depth": {"decoder_depth": 2},
    "components": {"components": 20},
    "concepts": {"concepts": 3},
    "neighbours": {"neighbours": 20},
    "members": {"members": ("EASE()", "MultVAE(latent=8, hidden=(16,), epochs=2)")},
}


def model(name: str) -> recae.Recommender:
    """A model with small settings."""
    known = recae.MODELS[name].param_fields()
    settings = {k: v for key, values in SMALL.items() if key in known for k, v in values.items()}
    return recae.MODELS[name](**settings)


def digest(name: str) -> str:
    """Fits, recommends to all users and evaluates; returns a digest of all results."""
    data = recae.load_dataset().interactions.filter(min_per_item=10)
    split = recae.StrongGeneralization(held_out=0.2).split(data, seed=1)
    fitted = model(name).fit(split.train, split.validation, seed=3, progress=False)
    top = fitted.recommend(k=20, history=split.test.history)
    report = recae.evaluate(fitted, split.test, ["ndcg@10"], progress=False)
    found = hashlib.sha256(pd.util.hash_pandas_object(top).to_numpy().tobytes())
    found.update(report.per_user.to_numpy().tobytes())
    return found.hexdigest()


def settings() -> dict[str, Any]:
    """The global state of the process, which must not change."""
    state = np.random.get_state()
    return {
        "random": hash(random.getstate()),
        "numpy.random": (state[1].tobytes(), *state[2:]),
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "BLAS and OpenMP threads": sorted(
            (pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()
        ),
        "torch flags": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_default_dtype(),
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.benchmark,
            torch.get_float32_matmul_precision(),
        ),
        "warning filters": [str(entry) for entry in warnings.filters],
        "numpy errors": np.geterr(),
        "environment": dict(os.environ),
    }


def _answer(queue: Any, name: str) -> None:
    queue.put(digest(name))


def in_a_process(method: str, name: str) -> str:
    """The digest from a child process, or the reason why there is none."""
    processes: Any = multiprocessing.get_context(method)
    queue = processes.SimpleQueue()
    child = processes.Process(target=_answer, args=(queue, name))
    child.start()
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        return "it hangs"
    return queue.get() if child.exitcode == 0 else f"exit code {child.exitcode}"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table of which results equal the first one. Returns 1 if any differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(recae.MODELS), metavar="NAME")
    options = parser.parse_args(argv)
    for name in options.models:
        digest(name)  # changes that libraries make at their first use are not ours
    before, rows = settings(), {}
    for name in options.models:
        expected, started = digest(name), time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            found = {f"{THREADS} threads": set(pool.map(digest, [name] * THREADS))}
        # Fork after computing, when thread pools exist that a fork loses. Do not fork while other
        # threads compute or end: they may hold a lock, and no library survives that.
        time.sleep(2)
        for method in multiprocessing.get_all_start_methods():
            found[method] = {in_a_process(method, name)}
        rows[name] = {how: answers == {expected} for how, answers in found.items()}
        verdicts = ", ".join(
            f"{how} {'same' if ok else found[how]}" for how, ok in rows[name].items()
        )
        print(f"{name:<11} {time.perf_counter() - started:6.1f} s  {verdicts}", flush=True)
    after = settings()
    changed = [name for name in before if before[name] != after[name]]
    print(f"global settings that changed:  {', '.join(changed) or 'none'} of {len(before)}")
    result = {"suite": "threads and processes", "same": rows, "changed_settings": changed}
    print(f"kept in {keep('concurrency', result)}")
    return 0 if not changed and all(all(row.values()) for row in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
