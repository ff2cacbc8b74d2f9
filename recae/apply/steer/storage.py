"""Tastes on disk: a directory of JSON and safetensors, beside the model that they belong to."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from recae.apply.steer.decoding import check_steerable
from recae.apply.steer.tastes import Tastes
from recae.errors import DataError
from recae.estimators.folder import read_folder, write_folder
from recae.recommend.base import Recommender
from recae.transformers import SparseAutoencoder

KIND = "Tastes"
ARRAYS = ("units", "usual", "moves", "users", "top", "raised", "together")
PREFIX = "dictionary."


def save_tastes(tastes: Tastes, path: str | Path, *, overwrite: bool) -> Path:
    """Writes tastes, and of their model a digest by which `load_tastes` knows it again."""
    settings, arrays = tastes.dictionary._kept()
    kept = {name: torch.from_numpy(np.ascontiguousarray(getattr(tastes, name))) for name in ARRAYS}
    about = {
        "model": type(tastes.model).__name__,
        "digest": _digest(tastes.model),
        "dictionary": settings,
        "names": tastes.names,
        "of_users": tastes.of_users,
        "explained": tastes.explained,
        "dead": tastes.dead,
    }
    arrays = {f"{PREFIX}{name}": array for name, array in arrays.items()}
    return write_folder(path, KIND, about, arrays | kept, overwrite=overwrite)


def load_tastes(path: str | Path, model: Recommender) -> Tastes:
    """Tastes that `Tastes.save` wrote, over the model they were found in.

    Raises DataError for anything that is not a whole, unaltered folder of this format and for
    another model than that, ConfigError for a model without codes.

    >>> recae.apply.steer.load_tastes("nowhere", recae.PureSVD(latent=2).fit(data))
    Traceback (most recent call last):
    recae.errors.DataError: nowhere holds nothing saved by recae: it has no config.json
    """
    check_steerable(model)
    model._check_fitted()
    _, about, arrays = read_folder(path, {KIND: Tastes})
    try:
        if about["digest"] != _digest(model):
            raise DataError(
                f"{path} holds tastes of another model, a {about['model']}: give the one they were "
                "found in, or find tastes in this one"
            )
        inner = {n.removeprefix(PREFIX): a for n, a in arrays.items() if n.startswith(PREFIX)}
        return Tastes(
            model=model,
            dictionary=SparseAutoencoder._restored(about["dictionary"], inner),
            of_users=int(about["of_users"]),
            explained=float(about["explained"]),
            dead=int(about["dead"]),
            names=list(about["names"]),
            **{name: arrays[name].numpy() for name in ARRAYS},
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; save it again") from error


def _digest(model: Recommender) -> str:
    """What is particular to a fitted model: its items and its numbers."""
    whole = sha256("\n".join(map(str, model.items_.ids)).encode())
    for name, array in sorted(model._arrays().items()):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(array.detach().cpu().numpy()).tobytes())
    return whole.hexdigest()
