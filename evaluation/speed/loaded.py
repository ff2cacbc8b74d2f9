"""Training beside busy processes: how threads wait, on an idle and on a loaded machine.

    python -m evaluation.speed loaded --busy 2

Every side fits a Mult-VAE (2,000 users, 3,000 items), ALS and a dense autoencoder, in turns, while
`--busy` processes compute without end; 0 measures an idle machine. The sides differ in how the
threads of OpenMP wait for each other:

- recae: as recae sets it, see `recae/system/openmp.py`.
- spinning: GNU's default, which recae leaves alone if the environment asks for it.
- passive: OMP_WAIT_POLICY=passive; threads sleep at once.
- one: a single thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

import recae
from evaluation.kit import worker
from evaluation.kit.harness import THREADS, alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import histories

ALL = (("--busy", "0"), ("--busy", "2"))
SIDES: dict[str, dict[str, str]] = {
    "recae": {},
    "spinning": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one": dict.fromkeys(THREADS, "1"),
}
"""The sides, and the environment of each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores wall and CPU seconds of every side."""
    parser = arguments(__doc__)
    parser.add_argument("--busy", type=int, default=2, help="processes that compute beside")
    parser.add_argument("--epochs", type=int, default=3, help="of Mult-VAE")
    parser.add_argument("--dry", action="store_true", help="store nothing")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        worker.serve(lambda: fit(options.epochs))
        return 0
    ours = [sys.executable, "-m", "evaluation.speed.loaded", f"--epochs={options.epochs}"]
    sides = {
        name: ["env", *(f"{key}={value}" for key, value in chosen.items()), *ours, "--serve"]
        for name, chosen in SIDES.items()
    }
    endless = [sys.executable, "-c", "while True: pass"]
    beside = [subprocess.Popen(endless) for _ in range(options.busy)]
    try:
        against = dict.fromkeys(SIDES, "spinning")
        rounds = alternate(sides, options.rounds, threads=options.threads, against=against)
    finally:
        for process in beside:
            process.kill()
            process.wait()
    print(rounds.summary())
    for side, answers in rounds.answers.items():
        print(f"{side}: CPU seconds, median {median(a['cpu'] for a in answers):.2f}")
    result: dict[str, Any] = {"suite": "training beside busy processes", "busy": options.busy}
    result |= {"threads": options.threads, "epochs": options.epochs, **rounds.as_dict()}
    if not options.dry:
        print(f"kept in {keep(f'speed-loaded-{options.busy}', result)}")
    return 0


def fit(epochs: int) -> dict[str, float]:
    """Trains the models; returns the CPU seconds of this process."""
    started = time.process_time()
    data = recae.Interactions.from_csr(histories(2000, 3000))
    rows = np.random.default_rng(0).normal(size=(2000, 30))
    recae.MultVAE(epochs=epochs).fit(data, progress=False)
    recae.ALS(latent=64, epochs=3).fit(data, progress=False)
    recae.Autoencoder(latent=2, epochs=10).fit(rows, progress=False)
    return {"cpu": time.process_time() - started}


if __name__ == "__main__":
    raise SystemExit(main())
