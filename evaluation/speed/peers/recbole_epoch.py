"""An epoch of RecBole's MultiVAE by its own Trainer, for `python -m evaluation.speed epoch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from recbole_setup import configured, dataset_of  # first: the imports below need it

from recbole.data.utils import get_dataloader  # isort: skip
from recbole.model.general_recommender import MultiVAE  # isort: skip
from recbole.trainer import Trainer  # isort: skip

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402


def main() -> None:
    """Prepares as RecBole does, then trains an epoch on each request."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="users")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = {
        "mlp_hidden_size": [options.hidden],
        "latent_dimension": 2 * options.latent,  # RecBole halves this: means and log variances
        "train_batch_size": options.batch,
    }
    config = configured(options.folder, ["train"], sizes, options.device)
    (train,) = dataset_of(config).build()
    loader = get_dataloader(config, "train")(config, train, None, shuffle=True)
    model = MultiVAE(config, train).to(config["device"])
    trainer = Trainer(config, model)
    number = iter(range(10**9))
    worker.serve(lambda: {"loss": trainer._train_epoch(loader, next(number)) / len(loader)}, bare)


if __name__ == "__main__":
    main()
