"""An epoch of Cornac's VAECF by its own `learn`, for `python -m evaluation.speed epoch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import scipy.sparse as sp
import torch
from cornac.data import Dataset
from cornac.models.vaecf.vaecf import VAE, learn

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402


def main() -> None:
    """Prepares as its `fit` does, then trains an epoch on each request.

    Cornac's `learn` makes a new Adam at each call, so every epoch here is a first one.
    """
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with train.npz")
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="users")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cells = sp.load_npz(options.folder / "train.npz").tocoo()
    rows = zip(cells.row.tolist(), cells.col.tolist(), cells.data.tolist(), strict=True)
    train = Dataset.from_uir(list(rows), seed=0)
    torch.manual_seed(0)
    net = VAE(options.latent, [train.num_items, options.hidden], "tanh", "mult")

    def epoch() -> None:
        learn(
            net,
            train,
            n_epochs=1,
            batch_size=options.batch,
            learn_rate=1e-3,
            beta=1.0,
            verbose=False,
        )

    worker.serve(epoch, bare)


if __name__ == "__main__":
    main()
