"""An epoch of RecPack's MultVAE by its own method, for `python -m evaluation.speed epoch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from recpack.algorithms import MultVAE

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402


def main() -> None:
    """Prepares as its `fit` does, then trains an epoch on each request."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with train.npz")
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="users")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    matrix = sp.load_npz(options.folder / "train.npz")
    model = MultVAE(
        batch_size=options.batch,
        dim_hidden_layer=options.hidden,
        dim_bottleneck_layer=options.latent,
        learning_rate=1e-3,
        seed=0,
    )
    train, _ = model._transform_fit_input(matrix, (matrix, matrix))
    model._init_model(train)
    model.model_.train()
    worker.serve(lambda: {"loss": float(np.mean(model._train_epoch(train)))}, bare)


if __name__ == "__main__":
    main()
