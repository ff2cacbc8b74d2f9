"""A model on disk: a directory of JSON, safetensors and Parquet, without pickle.

model/config.json           format version, recae version, model name, hyperparameters, and the
                            SHA-256 of every other file, so that nothing altered is ever loaded
model/weights.safetensors   what was learnt
model/items.parquet         item ids in column order, with their number of training users
model/history.parquet       the fitted interactions, only with `with_history=True`
model/users.parquet         beside them, the user ids in row order
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recae.data import IdMap, as_ids
from recae.data.tables.readers import read_interactions, write_interactions
from recae.data.tables.sources import read_frame
from recae.errors import DataError
from recae.system.files import as_path, atomic_directory, plain
from recae.system.machine import __version__

if TYPE_CHECKING:
    from recae.recommend.base import Recommender

FORMAT = 2
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
ITEMS, USERS, HISTORY = "items.parquet", "users.parquet", "history.parquet"


def save_model(model: Recommender, path: Path, *, with_history: bool, overwrite: bool) -> Path:
    """Writes a fitted model to the directory `path`, whole or not at all. Returns the path."""
    if with_history and model.history_ is None:
        raise DataError("this model carries no interactions to save: it was loaded without them")
    config: dict[str, Any] = {
        "format": FORMAT,
        "recae": __version__,
        "model": model.name,
        "params": model.get_params(),
        "n_items": len(model.items_),
    }
    with atomic_directory(path, overwrite=overwrite, marker=CONFIG) as part:
        arrays = {n: tensor.detach().cpu().contiguous() for n, tensor in model._arrays().items()}
        try:
            save_file(arrays, part / WEIGHTS)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error
        items = {"item_id": model.items_.ids, "users": model.item_counts_}
        pq.write_table(pa.table(items), part / ITEMS, compression="zstd")
        if with_history and model.history_ is not None:
            users = {"user_id": model.history_.users.ids}
            pq.write_table(pa.table(users), part / USERS, compression="zstd")
            write_interactions(model.history_, part / HISTORY)
        config["files"] = {file.name: _digest(file) for file in sorted(part.iterdir())}
        text = json.dumps(config, indent=2, default=plain)
        (part / CONFIG).write_text(text + "\n", encoding="utf-8")
    return path


def expect(tensor: torch.Tensor, *shape: int) -> torch.Tensor:
    """The tensor read, if it has the shape that the items and hyperparameters say."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{WEIGHTS} holds {tuple(tensor.shape)} numbers, not {shape}")
    return tensor


def load_model(path: str | Path, models: dict[str, type[Recommender]]) -> Recommender:
    """Reads a model directory; `models` maps names to classes. The model is on the CPU.

    Raises DataError for anything that is not a whole, unaltered model directory of this format. A
    directory that is replaced by another model while it is read gives the one or the other.
    """
    folder = as_path(path)
    while True:
        config = _config(folder)
        try:
            model = _read(folder, config, models)
        except DataError:
            if _config(folder) == config:
                raise
        else:
            if _config(folder) == config:
                return model


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder} is not a model directory: it has no {CONFIG}")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found, recae = config["format"], config["recae"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise _damaged(folder / CONFIG, error) from error
    if found != FORMAT:
        raise DataError(
            f"{folder} has format {found}; this recae {__version__} reads format {FORMAT}: "
            f"it was saved by recae {recae}, install that or save the model again"
        )
    return config


def _read(
    folder: Path, config: dict[str, Any], models: dict[str, type[Recommender]]
) -> Recommender:
    try:
        name, params, files = str(config["model"]), dict(config["params"]), dict(config["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / CONFIG, error) from error
    if name not in models:
        raise DataError(f"{folder} holds a {name!r}; known models: {', '.join(sorted(models))}")
    for file in sorted({ITEMS, WEIGHTS, *files}):
        if not (folder / file).is_file():
            raise DataError(f"{folder} is incomplete: {file} is missing; save the model again")
        if _digest(folder / file) != files.get(file):
            raise DataError(
                f"{folder / file} is not what was saved: cut short, altered or of another model; "
                "save the model again"
            )
    model = models[name]()
    try:
        model.set_params(**{k: tuple(v) if isinstance(v, list) else v for k, v in params.items()})
        model.check_params()
        _read_learnt(model, folder, with_history=HISTORY in files)
        model.fitted_params_ = model.get_params()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, pa.ArrowException) as e:
        raise _damaged(folder, e) from e
    return model


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{path} is damaged: {reason}; save the model again")


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_learnt(model: Recommender, folder: Path, *, with_history: bool) -> None:
    table = read_frame(folder / ITEMS)
    model.items_ = IdMap(as_ids(table["item_id"], "item"), "item")
    model.item_counts_ = table["users"].to_numpy(dtype=np.int64, copy=True)
    model._restore(load_file(folder / WEIGHTS))
    model.history_ = None
    if with_history:
        users = IdMap(read_frame(folder / USERS)["user_id"], "user")
        model.history_ = read_interactions(folder / HISTORY, users, model.items_)


def csr_to_arrays(name: str, matrix: Any) -> dict[str, Tensor]:
    """A CSR as named tensors, for saving; its shape is known to the model."""
    return {
        f"{name}.data": torch.from_numpy(np.array(matrix.data)),
        f"{name}.indices": torch.from_numpy(matrix.indices.astype(np.int64)),
        f"{name}.indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
    }


def csr_from_arrays(name: str, arrays: Mapping[str, Tensor], shape: tuple[int, int]) -> Any:
    """The inverse of `csr_to_arrays`. Raises ValueError for arrays that are no such matrix."""
    data, indices, indptr = (
        arrays[f"{name}.{part}"].numpy() for part in ("data", "indices", "indptr")
    )
    expect(torch.from_numpy(indptr), shape[0] + 1)
    matrix: Any = sp.csr_matrix((data, indices, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix
