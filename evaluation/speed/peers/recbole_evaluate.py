"""RecBole's evaluation of given factors, one round per request, for `python -m evaluation.speed
evaluate`: its own `Trainer` with its `FullSortEvalDataLoader`, `Collector` and `Evaluator`.

Data set and model are stand-ins that hold the given arrays. Item numbers are shifted by one,
because RecBole keeps item 0 for padding.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from recbole_setup import Config  # first: the imports below need it

from recbole.data.dataloader import FullSortEvalDataLoader  # isort: skip
from recbole.data.interaction import Interaction  # isort: skip
from recbole.trainer import Trainer  # isort: skip

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402

METRICS = {"metrics": ["Recall", "NDCG"], "topk": [20, 50, 100], "valid_metric": "NDCG@20"}
DIGITS = 10


class Data:
    """The attributes of a data set that the loader and the trainer need."""

    uid_field, iid_field = "user_id", "item_id"

    def __init__(self, target: sp.csr_matrix) -> None:
        self.user_num, self.item_num = target.shape[0], target.shape[1] + 1
        users, items = target.nonzero()
        self.inter_feat = {
            self.uid_field: torch.from_numpy(users.astype(np.int64)),
            self.iid_field: torch.from_numpy(items.astype(np.int64) + 1),
        }

    def sort(self, by: str, ascending: bool) -> None:
        """They are sorted."""

    def join(self, users: Interaction) -> Interaction:
        """There is nothing to add to the users."""
        return users

    def get_item_feature(self) -> Interaction:
        """Only the items."""
        return Interaction({self.iid_field: torch.arange(self.item_num)})


class Sampler:
    """The items of each user, target included, as the loader expects them."""

    def __init__(self, history: sp.csr_matrix, target: sp.csr_matrix) -> None:
        both = (history + target).tocsr()
        rows = np.split(both.indices.astype(np.int64) + 1, both.indptr[1:-1])
        self.used_ids = np.array([set(row.tolist()) for row in rows], dtype=object)


class Factors(torch.nn.Module):
    """score_ui = x_u . y_i."""

    def __init__(self, users: np.ndarray, items: np.ndarray) -> None:
        super().__init__()
        padding = np.zeros((1, items.shape[1]), dtype=items.dtype)
        self.users = torch.nn.Parameter(torch.from_numpy(users))
        self.items = torch.nn.Parameter(torch.from_numpy(np.concatenate([padding, items])))

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """The scores of all items, flat."""
        scores = self.users[interaction["user_id"]] @ self.items.T
        return scores.view(-1)


def main() -> None:
    """Builds data, model and loader, then evaluates on each request."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with history.npz, target.npz and factors.npz")
    parser.add_argument("--users", type=int, required=True, help="number of users, from the first")
    parser.add_argument("--eval-batch-size", type=int, required=True, help="cells")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads the remaining arguments
    torch.set_num_threads(options.threads)
    history, target = (
        sp.load_npz(options.folder / f"{part}.npz")[: options.users]
        for part in ("history", "target")
    )
    factors = np.load(options.folder / "factors.npz")
    settings = METRICS | {
        "eval_args": {"split": {"RS": [8, 1, 1]}, "order": "RO", "mode": "full"},
        "eval_batch_size": options.eval_batch_size,
        "metric_decimal_place": DIGITS,
        "use_gpu": False,
        "worker": 0,
        "data_path": str(options.folder),
        "checkpoint_dir": str(options.folder),
    }
    config = Config(model="BPR", dataset="given", config_dict=settings)
    config["device"] = torch.device("cpu")
    logging.disable(logging.CRITICAL)
    sampler = Sampler(history, target)
    loader = FullSortEvalDataLoader(config, Data(target), sampler)
    model = Factors(factors["users"][: options.users], factors["items"])
    trainer = Trainer(config, model)

    def run() -> dict[str, object]:
        found = trainer.evaluate(loader, load_best_model=False, show_progress=False)
        return {"metrics": {name: float(value) for name, value in found.items()}}

    worker.serve(run, bare)


if __name__ == "__main__":
    main()
