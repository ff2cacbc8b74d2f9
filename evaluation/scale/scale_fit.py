"""The cost of fitting the models that a large catalogue can have: seconds and memory of each.

    python -m evaluation scale_fit [--quick]

Synthetic users with known tastes (`evaluation/kit/synthetic.py`). Each model is fitted in a process
of its own with one thread, on as many users as make a measurement of about a minute. `seconds` are
those of the last epoch, of a sweep, or of the whole fit of a model that is fitted in one step.
`memory_gb` is the most memory that is no file above what the process held with the data, `model_gb`
the size of the arrays of the model. `scale_plan` scales these figures up. (Mult-VAE with a sampled
softmax is measured by `python -m evaluation.speed million`.)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import shape
from evaluation.scale.scale_gram import Watch

ITEMS, MEAN = 50_000, 20.0
"""Items, and the mean interactions of a user."""
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "als": ("ALS", {"latent": 64, "epochs": 2}, 100_000),
    "pure-svd": ("PureSVD", {"latent": 64}, 200_000),
    "elsa": ("ELSA", {"latent": 64, "epochs": 2, "batch_size": 1000}, 10_000),
    "sparse-ease": ("SparseEASE", {}, 100_000),
}
"""The class, its hyperparameters, and the users it is fitted on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--quick", action="store_true", help="few users and items, not kept")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        name, users, items = options.serve
        print(json.dumps(fitted(name, int(users), int(items))))
        return 0
    found = {}
    for name in options.models:
        users, items = (MODELS[name][2], ITEMS) if not options.quick else (1_000, 2_000)
        command = [sys.executable, "-m", "evaluation.scale.scale_fit", "--serve", name]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        text = subprocess.run(
            [*command, str(users), str(items)], env=environment, check=True, capture_output=True
        ).stdout
        found[name] = json.loads(text.splitlines()[-1])
        print(name, json.dumps(found[name]), flush=True)
    if not options.quick and list(found) == list(MODELS):
        result = {"threads": 1, "models": found, "load_average": os.getloadavg()[0]}
        print(f"kept in {keep('scale-fit', result)}")
    return 0


def fitted(name: str, users: int, items: int) -> dict[str, Any]:
    """Fits one model in this process; its costs."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    data = recae.Interactions.from_csr(shape(users, items, int(users * MEAN)))
    kind, settings, _ = MODELS[name]
    model = getattr(recae, kind)(**settings)
    with Watch() as watch:
        started = time.perf_counter()
        model.fit(data, seed=0, device="cpu", progress=False)
        seconds = (time.perf_counter() - started) / settings.get("epochs", 1)
    epochs = getattr(model, "epochs_", ())
    if epochs:
        seconds = epochs[-1].seconds  # the first one imports what an optimiser needs
    lengths = np.diff(data.matrix.indptr).astype(float)
    size = sum(array.numel() * array.element_size() for array in model._arrays().values())
    return {
        "model": repr(model), "users": data.n_users, "items": data.n_items, "nnz": data.nnz,
        "pairs": int((lengths**2).sum()), "latent": settings.get("latent", 0),
        "seconds": round(seconds, 3),
        "memory_gb": watch.above_gb, "model_gb": round(size / 1e9, 4),
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
