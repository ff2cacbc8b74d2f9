"""RecBole's MultiVAE trained by its own Trainer, for `python -m evaluation.speed time_to_quality`.

FOLDER holds given/given.train.inter and given.valid.inter, and histories.npz, the rows to make
lists for. The clock starts before RecBole reads its files. After every epoch a line of JSON is
written to --curve: number, seconds so far, recall@20 on the validation pairs by its own Evaluator.
Training ends by its own early stopping, or after the epoch in which --cap seconds have passed. Then
the best state is restored (kept in memory, not in its checkpoints, which need pickle). The 20 best
columns of every row, without those of the row itself, are written to --lists.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole_setup import configured, dataset_of  # first: the imports below need it

from recbole.data.utils import get_dataloader  # isort: skip
from recbole.model.general_recommender import MultiVAE  # isort: skip
from recbole.sampler import Sampler  # isort: skip
from recbole.trainer import Trainer  # isort: skip

K, USERS_AT_ONCE = 20, 500


class Capped(Exception):
    """The time is up."""


def main() -> None:
    """Trains, and writes the curve and the lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--curve", type=Path, required=True)
    parser.add_argument("--lists", type=Path, required=True)
    parser.add_argument("--set", type=json.loads, default={}, help="settings, as JSON")
    parser.add_argument("--cap", type=float, required=True, help="seconds")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = sp.load_npz(options.folder / "histories.npz").shape
    measured = {
        "metrics": ["Recall"],
        "topk": [K],
        "valid_metric": f"Recall@{K}",
        "metric_decimal_place": 10,
        # Its default of 4,096 cells would evaluate one user at a time.
        "eval_batch_size": USERS_AT_ONCE * (shape[1] + 1),
    }
    started = time.perf_counter()
    config = configured(options.folder, ["train", "valid"], measured | options.set)
    data = dataset_of(config)
    parts = data.build()
    train = get_dataloader(config, "train")(config, parts[0], None, shuffle=True)
    sampler = Sampler(["train", "valid"], parts).set_phase("valid")
    valid = get_dataloader(config, "valid")(config, parts[1], sampler, shuffle=False)
    model = MultiVAE(config, parts[0]).to(config["device"])
    trainer = Trainer(config, model)
    best: dict[str, Any] = {"recall": -1.0}

    def after(epoch: int, recall: float) -> None:
        seconds = time.perf_counter() - started
        line = {"epoch": epoch + 1, "seconds": round(seconds, 3), "recall@20": float(recall)}
        with options.curve.open("a") as curve:
            print(json.dumps(line), file=curve, flush=True)
        if recall > best["recall"]:
            state = {name: part.clone() for name, part in model.state_dict().items()}
            best.update(recall=recall, state=state)
        if seconds > options.cap:
            raise Capped

    try:
        trainer.fit(train, valid, verbose=False, saved=False, callback_fn=after)
    except Capped:
        pass
    model.load_state_dict(best["state"])
    model.eval()
    items = lists_of(model, data, sp.load_npz(options.folder / "histories.npz"))
    np.save(options.lists, items)


def lists_of(model: MultiVAE, data: Any, histories: sp.csr_matrix) -> np.ndarray:
    """The K best columns of every row by its own forward pass: (rows, K), -1 where none is left."""
    n_items = histories.shape[1]
    tokens = data.field2id_token[data.iid_field]  # RecBole's number -> our column; 0 is padding
    columns = np.array([-1, *(int(token) for token in tokens[1:])])
    numbers = np.zeros(n_items, dtype=np.int64)
    numbers[columns[1:]] = np.arange(1, len(columns))
    found = np.empty((histories.shape[0], K), dtype=np.int64)
    for start in range(0, len(found), USERS_AT_ONCE):
        rows = histories[start : start + USERS_AT_ONCE].tocoo()
        x = torch.zeros(rows.shape[0], len(columns))
        x[torch.from_numpy(rows.row).long(), torch.from_numpy(numbers[rows.col])] = 1.0
        x[:, 0] = 0.0  # items that are not in its training data
        with torch.no_grad():
            scores = model(x)[0]
        scores[x > 0] = -torch.inf
        scores[:, 0] = -torch.inf
        best, places = scores.topk(K)
        found[start : start + len(x)] = np.where(
            best.isfinite().numpy(), columns[places.numpy()], -1
        )
    return found


if __name__ == "__main__":
    main()
