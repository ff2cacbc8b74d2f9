"""Saves the state of a recommender: items, histories and the facts of the model card.

items.parquet     item ids in column order, with their number of training users
history.parquet   the fitted interactions, only with `with_history=True`
users.parquet     beside them, the user ids in row order
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import torch
from torch import Tensor

from recae import training
from recae.data import IdMap, Interactions, as_ids
from recae.data.splits import Fold
from recae.data.tables.readers import read_interactions, write_interactions
from recae.data.tables.sources import read_frame
from recae.estimators.saved import ARRAYS, Contents, form
from recae.recommend.weights import TRAINED_ON, state, weights_seen
from recae.system.machine import __version__
from recae.system.safely import check_parquet

ITEMS, USERS, HISTORY = "items.parquet", "users.parquet", "history.parquet"


def contents(model: Any, known: Mapping[str, Any], history: Interactions | None) -> Contents:
    """Everything that is saved of a recommender. known: the tables of its model card from the last
    `save`, for a loaded model; history: the interactions to keep, if any."""
    about = {"item_id": model.items_.ids, "users": model.item_counts_}
    files: dict[str, Any] = {ITEMS: partial(_write, about)}
    if history is not None:
        files[USERS] = partial(_write, {"user_id": history.users.ids})
        files[HISTORY] = partial(write_interactions, history)
    settings = {
        "params": model.get_params(),
        "facts": {**known, **_facts(model)},
        "fingerprint": model.fingerprint(),
    }
    return Contents(settings, state(model), files)


def checkpoint(
    model: Any, data: Interactions, validation: Fold | None, run: training.Run
) -> training.Checkpoint | None:
    """The file that keeps the state of a training, if one is wanted."""
    if run.checkpoint is None:
        return None
    return training.Checkpoint(run.checkpoint, identity(model, data, validation, run), run.ranks)


def identity(
    model: Any, data: Interactions, validation: Fold | None, run: training.Run
) -> dict[str, Any]:
    """Everything that the result of a training depends on, ready for JSON."""
    return {
        "model": model.name,
        "hyperparameters": model._identity(),
        "seed": run.seed,
        "data": data.fingerprint(),
        "validation": None if validation is None else validation.fingerprint(),
    }


def check_processes(
    model: Any, data: Interactions, validation: Fold | None, run: training.Run
) -> None:
    """Raises ConfigError unless all processes, if there are several, fit the same."""
    if run.ranks is None:
        return
    if not model.uses_processes:
        training.check_alone(f"the fit of {type(model).__name__}")
    about = identity(model, data, validation, run) | {"device": run.device.type}
    training.check_same(run.ranks, about | {"checkpoint": run.checkpoint is not None})


def facts_of(data: Interactions, validation: Fold | None) -> dict[str, Any]:
    """What trackers are told of the data of a fit."""
    return {
        "recae": __version__,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": data.nnz,
        "data": data.fingerprint(),
        **({} if validation is None else {"validation": validation.fingerprint()}),
    }


def read_items(files: Mapping[str, Path]) -> tuple[IdMap, np.ndarray]:
    """The items of a saved recommender and their numbers of training users, (n_items,) int64."""
    check_parquet(files[ITEMS], distinct="item_id")
    table = read_frame(files[ITEMS])
    items = IdMap(as_ids(table["item_id"], "item"), "item")
    counts = table["users"].to_numpy(dtype=np.int64, copy=True)
    if (counts < 0).any():
        raise ValueError(f"{ITEMS} holds a negative number of users")
    counts.flags.writeable = False
    return items, counts


def read_history(files: Mapping[str, Path], items: IdMap) -> Interactions | None:
    """The interactions that were saved with a recommender, if they were."""
    if HISTORY not in files:
        return None
    check_parquet(files[USERS], distinct="user_id")
    check_parquet(files[HISTORY])
    users = IdMap(read_frame(files[USERS])["user_id"], "user")
    return read_interactions(files[HISTORY], users, items)


def _facts(model: Any) -> dict[str, Any]:
    """The tables of the model card: training data, and the validation metric of the kept epoch."""
    data, found = model.history_, shown_facts(model)
    if data is not None:
        found[TRAINED_ON]["fingerprint"] = data.fingerprint()
        found[TRAINED_ON] |= weights_seen(data)
    return found


def shown_facts(model: Any) -> dict[str, dict[str, Any]]:
    """The same without the fingerprint, which takes time."""
    found: dict[str, dict[str, Any]] = {}
    data, epochs = model.history_, getattr(model, "epochs_", ())
    if data is not None:
        sizes = {"users": data.n_users, "items": data.n_items, "interactions": data.nnz}
        found[TRAINED_ON] = sizes
    if epochs and epochs[0].metrics:
        metric = next(iter(epochs[0].metrics))
        kept = min if model.lowest_is_best else max
        best = kept(epochs, key=lambda epoch: epoch.metrics[metric])
        found["Validation"] = {metric: round(best.metrics[metric], 6), "epoch": best.number}
    return found


def expect(tensor: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The tensor, checked against the type and the shape that follow from the items and
    hyperparameters. Raises ValueError."""
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        wanted = [str(dtype).removeprefix("torch."), *shape]
        raise ValueError(f"{ARRAYS} holds {form(tensor)}, not {wanted}")
    return tensor


def csr_to_arrays(name: str, matrix: Any) -> dict[str, Tensor]:
    """A CSR as named tensors, for saving; the model knows its shape."""
    return {
        f"{name}.data": torch.from_numpy(np.array(matrix.data)),
        f"{name}.indices": torch.from_numpy(matrix.indices.astype(np.int64)),
        f"{name}.indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
    }


def csr_from_arrays(name: str, arrays: Mapping[str, Tensor], shape: tuple[int, int]) -> Any:
    """The inverse of `csr_to_arrays`. Raises ValueError for arrays that are not a valid CSR."""
    data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    expect(indptr, shape[0] + 1, dtype=torch.int64)
    entries = int(indptr[-1])
    expect(indices, entries, dtype=torch.int64)
    parts = expect(data, entries).numpy(), indices.numpy(), indptr.numpy()
    matrix: Any = sp.csr_matrix(parts, shape=shape)
    matrix.check_format(full_check=True)
    if not matrix.has_canonical_format:
        raise ValueError(f"{name} has a column twice in a row, or columns out of order")
    return matrix


def _write(columns: Mapping[str, np.ndarray], path: Path) -> None:
    pq.write_table(pa.table(dict(columns)), path, compression="zstd")
