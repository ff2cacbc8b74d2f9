"""Trains in two processes of torchrun beside one: curves, metrics, memory, time, and a kill.

    python -m evaluation scale_torchrun [--data TABLE --user COLUMN --item COLUMN] [--quick]

Mult-VAE, RecVAE and ELSA are trained by one process on one core, by one process on two cores, and
by two processes on one core each: `curve` is the largest relative difference of the losses of the
epochs from those of one process on one core. `weights_and_moments_mb` is what a process holds in
training, `resident_peak_mb` all of its memory. `wide` is a network of many items. `softmax`
compares the sharded loss and its gradients with the whole ones. Then process 1 is killed at random
moments, and one process goes on from the checkpoint: `killed` says how many seconds the others took
to end, and the difference of the curve from an undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recae
from evaluation.kit.provenance import keep

MODELS = {
    "mult-vae": {"epochs": 12, "mirror": True, "batch_size": 500, "precision": "float32"},
    "rec-vae": {"epochs": 8, "batch_size": 500, "precision": "float32"},
    "elsa": {"epochs": 6, "batch_size": 100},
}
WIDE = {"users": 1000, "items": 100_000, "density": 0.0002, "latent": 256}
SOFTMAX = {"rows": 500, "items": 20_000, "width": 600}
KILLS = 3
TIMEOUT = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if a killed process did not end the others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a table of interactions (default: the bundled MovieLens)")
    parser.add_argument("--user", default="user_id", help="its column (default: %(default)s)")
    parser.add_argument("--item", default="item_id", help="its column (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a dry run of a minute, not kept")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        found = measured(Path(name), asked)
    print(json.dumps(found, indent=2))
    if not asked.quick:
        print(f"kept in {keep('scale-torchrun-' + found['data']['name'], found)}")
    return int(not all(kill["ended"] for kill in found["killed"]))


def measured(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """All figures; the processes work in subfolders of `folder`."""
    if asked.data:
        columns = {"user": asked.user, "item": asked.item, "weight": None}
        data = recae.read_parquet(asked.data, progress=False, **columns)
        name = Path(asked.data).parent.name
    else:
        data, name = recae.load_dataset("ml-latest-small").interactions, "ml-latest-small"
    table = folder / "data.parquet"
    data.binarised().to_frame().to_parquet(table)
    models = {model: dict(about) for model, about in MODELS.items()}
    job = {"data": str(table), "timeout": TIMEOUT, "models": models, "wide": WIDE,
           "softmax": SOFTMAX, "held_out": max(data.n_users // 10, 1)}  # fmt: skip
    if asked.quick:
        for about in models.values():
            about |= {"epochs": 2}
        job |= {"wide": WIDE | {"items": 10_000}, "softmax": SOFTMAX | {"items": 2000}}
    runs = {"one": (1, 1), "two processes": (2, 1)}
    runs |= {} if asked.quick else {"one on two cores": (1, 2)}
    seen = {title: run(folder / title, job, *how) for title, how in runs.items()}
    kills = [
        killed(folder / f"kill {number}", job, seen["one"][0], number)
        for number in range(1 if asked.quick else KILLS)
    ]
    return {
        "data": {"name": name, "users": data.n_users, "items": data.n_items, "nnz": data.nnz},
        "models": {model: beside(model, seen) for model in models} | {"settings": models},
        "wide": job["wide"] | {title: [one["wide"] for one in of] for title, of in seen.items()},
        "softmax": job["softmax"] | {"found": [one["softmax"] for one in seen["two processes"]]},
        "killed": kills,
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def beside(model: str, seen: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The figures of a model in all runs."""
    alone = seen["one"][0][model]
    found = {}
    for title, processes in seen.items():
        first = processes[0][model]
        found[title] = {
            "curve": difference(first["losses"], alone["losses"]),
            "last_loss": first["losses"][-1],
            "test": first["test"],
            "seconds_an_epoch": first["seconds_an_epoch"],
            **{key: [one[model][key] for one in processes]
               for key in ("weights_and_moments_mb", "resident_before_mb", "resident_peak_mb")},
        }  # fmt: skip
    return found


def difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest relative difference of two curves."""
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def start(folder: Path, job: dict[str, Any], processes: int, threads: int) -> Any:
    """Starts a job in some processes, by torchrun if they are several."""
    folder.mkdir(exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job | {"threads": threads}))
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(several if processes > 1 else []), "-m", "evaluation.scale.rank"]
    about = {"OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [*command, str(folder)], env=os.environ | about, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, job: dict[str, Any], processes: int, threads: int) -> list[dict[str, Any]]:
    """What each process of a job saw."""
    started = start(folder, job, processes, threads)
    _, said = started.communicate()
    if started.returncode:
        raise recae.RecaeError(f"a run ended with {started.returncode}: {said[-2000:]}")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def killed(
    folder: Path, job: dict[str, Any], undisturbed: dict[str, Any], number: int
) -> dict[str, Any]:
    """Kills process 1 of two at a random moment after the first epoch; one process goes on."""
    model = "mult-vae"
    checkpoint = folder / "checkpoint"
    job = job | {"models": {model: job["models"][model]}, "checkpoint": str(checkpoint)}
    job |= {"wide": None, "softmax": None}
    started = start(folder, job, 2, 1)
    while started.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    epoch = undisturbed[model]["seconds_an_epoch"]
    wait = random.Random(number).uniform(0, len(undisturbed[model]["losses"]) / 4) * epoch
    time.sleep(wait)
    os.kill(int((folder / "1.pid").read_text()), signal.SIGKILL)
    at = time.monotonic()
    try:
        _, said = started.communicate(timeout=TIMEOUT + 60)
    finally:
        started.terminate()  # torchrun then ends its processes too
    seconds = time.monotonic() - at
    (resumed,) = run(folder, job, 1, 1)
    return {
        "seconds_after_the_first_epoch": round(wait, 2),
        "seconds_to_end": round(seconds, 2),
        "ended": started.returncode != 0 and "TrainingError" in said,
        "curve_of_the_resumed": difference(resumed[model]["losses"], undisturbed[model]["losses"]),
        "test_of_the_resumed": resumed[model]["test"],
    }
