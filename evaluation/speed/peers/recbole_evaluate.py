"""RecBole's evaluation of given factors, a round at a time, for `python -m evaluation.speed
evaluate`: its own Trainer, loader, Collector and Evaluator; see recbole_evaluation.py."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

sys.path.append(str(Path(__file__).parents[2] / "peers"))
import recbole_evaluation as peer  # noqa: E402

sys.path.append(str(Path(__file__).parents[1]))
import worker  # noqa: E402


def main() -> None:
    """Builds data, model and loader, then evaluates whenever it is told to."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with history.npz, target.npz and factors.npz")
    parser.add_argument("--users", type=int, required=True, help="the first so many")
    parser.add_argument("--eval-batch-size", type=int, required=True, help="cells")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads what is left of it
    torch.set_num_threads(options.threads)
    history, target = (
        sp.load_npz(options.folder / f"{part}.npz")[: options.users]
        for part in ("history", "target")
    )
    factors = np.load(options.folder / "factors.npz")
    settings = peer.METRICS | {
        "eval_args": {"split": {"RS": [8, 1, 1]}, "order": "RO", "mode": "full"},
        "eval_batch_size": options.eval_batch_size,
        "metric_decimal_place": peer.DIGITS,
        "use_gpu": False,
        "worker": 0,
        "data_path": str(options.folder),
        "checkpoint_dir": str(options.folder),
    }
    config = peer.Config(model="BPR", dataset="given", config_dict=settings)
    config["device"] = torch.device("cpu")
    logging.disable(logging.CRITICAL)
    sampler = peer.Sampler(history, target)
    loader = peer.FullSortEvalDataLoader(config, peer.Data(target), sampler)
    model = peer.Factors(factors["users"][: options.users], factors["items"])
    trainer = peer.Trainer(config, model)

    def run() -> dict[str, object]:
        found = trainer.evaluate(loader, load_best_model=False, show_progress=False)
        return {"metrics": {name: float(value) for name, value in found.items()}}

    worker.serve(run, bare)


if __name__ == "__main__":
    main()
