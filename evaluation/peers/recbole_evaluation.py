"""Full-sort evaluation by RecBole 1.2.1 on given histories, targets and factors.

`python -m evaluation evaluation_cost --recbole-python PYTHON` runs this file with the interpreter
of an environment of its own, which knows no recae:

    python3.11 -m venv recbole
    recbole/bin/pip install torch==2.13.0
    recbole/bin/pip install --no-deps recbole==1.2.1 numpy pandas scipy tqdm colorlog pyyaml \
        tabulate texttable thop python-dateutil six pytz tzdata colorama scikit-learn joblib \
        threadpoolctl cloudpickle loky narwhals psutil

(--no-deps leaves out ray, tensorboard and plotly, which evaluating does not use; the tensorboard
that RecBole imports at its start is replaced by an empty module.) What runs is its own `Trainer`
with its `FullSortEvalDataLoader`, `Collector` and `Evaluator`; data set and model are stand-ins
that hold the given arrays. Items move up by one, as RecBole keeps item 0 for padding. Building the
loader, which turns every user's items into sets and tensors, is timed apart.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import types
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch


def stand_in(name: str, **members: object) -> None:
    """An importable module with these members, in place of one that is not installed."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


stand_in("torch.utils.tensorboard", SummaryWriter=lambda *arguments: None)
# RecBole's settings name types that NumPy 2 has under one name only.
for _old, _new in {"float_": "float64", "complex_": "complex128", "unicode_": "str_"}.items():
    setattr(np, _old, getattr(np, _new))

from recbole.config import Config  # noqa: E402
from recbole.data.dataloader import FullSortEvalDataLoader  # noqa: E402
from recbole.data.interaction import Interaction  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402

METRICS = {"metrics": ["Recall", "NDCG"], "topk": [20, 50, 100], "valid_metric": "NDCG@20"}
DIGITS = 10


class Data:
    """What the loader and the trainer ask of a data set."""

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
        """Nothing but the items."""
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
        self.seconds = 0.0

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """The scores of all items, flat."""
        started = time.perf_counter()
        scores = self.users[interaction["user_id"]] @ self.items.T
        self.seconds += time.perf_counter() - started
        return scores.view(-1)


def peak_gb() -> float:
    """The most memory this process has held, in 10^9 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def main() -> None:
    """Evaluates and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with history.npz, target.npz and factors.npz")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument(
        "--eval-batch-size", type=int, default=4096, help="cells; RecBole's default"
    )
    parser.add_argument("--users", type=int, help="evaluate the first so many")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads what is left of it
    torch.set_num_threads(options.threads)
    history = sp.load_npz(options.folder / "history.npz")[: options.users]
    target = sp.load_npz(options.folder / "target.npz")[: options.users]
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
    started = time.perf_counter()
    data = Data(target)
    loader = FullSortEvalDataLoader(config, data, Sampler(history, target))
    loading = time.perf_counter() - started
    model = Factors(factors["users"][: options.users], factors["items"])
    trainer = Trainer(config, model)
    before = peak_gb()
    started = time.perf_counter()
    result = trainer.evaluate(loader, load_best_model=False, show_progress=False)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "scores_seconds": model.seconds,
                "loader_seconds": loading,
                "users": target.shape[0],
                "users_a_batch": loader.step,
                "above_start_gb": peak_gb() - before,
                "metrics": {name: float(value) for name, value in result.items()},
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
