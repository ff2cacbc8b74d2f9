"""A model whose settings or arrays were altered consistently is refused, never half loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import recae
from recae import DataError
from recae.estimators.saved import ARRAYS, CONFIG, form
from recae.system.digests import sha256, sha256_of_json

HUGE = 10**30
STRUCTURE = ("latent", "width", "depth", "decoder_depth", "concepts", "components", "hidden")


def alter(
    folder: Path, params: Mapping[str, Any] | None = None, arrays: Any = None, listed: bool = True
) -> None:
    """Changes hyperparameters or arrays, with digests that fit; listed: and their list."""
    config = json.loads((folder / CONFIG).read_text())
    config["settings"]["params"].update(params or {})
    if arrays is not None:
        save_file({name: array.contiguous() for name, array in arrays.items()}, folder / ARRAYS)
        config["files"][ARRAYS] = sha256((folder / ARRAYS).read_bytes())
        if listed:
            config["arrays"] = {name: form(array) for name, array in arrays.items()}
    config.pop("digest")
    config["digest"] = sha256_of_json(config)
    (folder / CONFIG).write_text(json.dumps(config))


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The arrays in memory: those of the file itself would change where it is written anew."""
    return {name: array.clone() for name, array in load_file(folder / ARRAYS).items()}


@pytest.fixture
def folder(fitted, tmp_path) -> Path:
    return fitted.save(tmp_path / "model")


def altered(array: torch.Tensor) -> list[torch.Tensor]:
    """The array in other types and shapes."""
    found = [array.to(other) for other in (torch.float16, torch.float64, torch.int64)]
    found += [array.reshape(-1)[:-1], array.reshape(1, *array.shape), torch.tensor(0).to(array)]
    if array.ndim:
        found.append(torch.cat([array, array[:1]]))
    return found


def test_arrays_of_another_type_or_shape_are_refused(folder) -> None:
    arrays = read(folder)
    for name in sorted(arrays)[:2]:
        for other in altered(arrays[name]):
            if form(other) != form(arrays[name]):
                alter(folder, arrays=arrays | {name: other})
                with pytest.raises(DataError, match="model.*loaded"):
                    recae.load(folder)
        rest = {n: a for n, a in arrays.items() if n != name}
        alter(folder, arrays=rest or {"other": torch.ones(1)})
        with pytest.raises(DataError, match="model.*loaded"):
            recae.load(folder)
    alter(folder, arrays=arrays)
    recae.load(folder)


def test_settings_that_do_not_fit_are_refused_before_anything_is_built(folder, fitted) -> None:
    params = fitted.get_params()
    for name in STRUCTURE:
        for number in (HUGE, 10**9):
            if name in params and not (name == "latent" and fitted.name == "neural-ease"):
                value = [number] if name == "hidden" else number
                alter(folder, {name: value})
                with pytest.raises(DataError, match="model.*loaded"):
                    recae.load(folder)
                alter(folder, {name: params[name]})
    recae.load(folder)


def test_numbers_that_are_not_finite_are_refused(folder) -> None:
    arrays = read(folder)
    floats = [name for name in arrays if arrays[name].is_floating_point() and arrays[name].numel()]
    for name in floats[:2]:
        for wrong in (np.nan, np.inf):
            other = arrays[name].clone()
            other.view(-1)[-1] = wrong
            alter(folder, arrays=arrays | {name: other})
            with pytest.raises(DataError, match="finite"):
                recae.load(folder)


@pytest.mark.parametrize("place", [1, 7, -1])
def test_user_knn_forgets_no_user(text_data, tmp_path, place) -> None:
    folder = recae.UserKNN().fit(text_data).save(tmp_path / "model")
    arrays = read(folder)
    pointers = arrays["training.indptr"].tolist()
    del pointers[place]
    alter(folder, arrays=arrays | {"training.indptr": torch.tensor(pointers)})
    with pytest.raises(DataError):
        recae.load(folder)


@pytest.mark.parametrize("wrong", [-1, 16, 0])
def test_a_member_of_an_ensemble_has_the_columns_that_it_is_given(text_data, tmp_path, wrong):
    folder = recae.Ensemble(members=("EASE()", "Popularity()")).fit(text_data).save(tmp_path / "m")
    arrays = read(folder)
    columns = arrays["1.columns"].clone()
    columns[3] = wrong
    alter(folder, arrays=arrays | {"1.columns": columns})
    with pytest.raises(DataError):
        recae.load(folder)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_transformer_keeps_its_centre(tmp_path, loss) -> None:
    X = np.random.default_rng(0).random((40, 5))
    folder = recae.Autoencoder(latent=2, epochs=1, loss=loss).fit(X).save(tmp_path / "model")
    arrays = read(folder)
    other = dict(arrays)
    if other.pop("scaling.centre", None) is None:
        other["scaling.centre"] = torch.zeros(5, dtype=torch.float64)
    for listed in (True, False):
        alter(folder, arrays=other, listed=listed)
        with pytest.raises(DataError, match="scaling.centre"):
            recae.load(folder)
    alter(folder, {"latent": HUGE}, arrays=arrays)
    with pytest.raises(DataError):
        recae.load(folder)
