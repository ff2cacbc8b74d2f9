"""Models on disk: what the directory holds, what is refused, and that nothing is ever half written.

That a loaded model gives the same lists is a law of the contract, tested for every model there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file

import recae
from recae import ALS, EASE, DataError, Interactions, MultDAE, MultVAE, Popularity
from recae.errors import StorageError
from recae.recommend import persistence

PARTS = {"config.json", "weights.safetensors", "items.parquet"}
SMALL: list[Any] = [
    lambda: Popularity(),
    lambda: ALS(latent=8, epochs=2),
    lambda: EASE(l2=3.0),
    lambda: MultDAE(latent=8, epochs=1),
    lambda: MultVAE(latent=8, hidden=(16,), epochs=1),
]


@pytest.fixture(params=SMALL, ids=["popularity", "als", "ease", "mult-dae", "mult-vae"])
def model(request: pytest.FixtureRequest, text_data: Interactions) -> Any:
    return request.param().fit(text_data)


@pytest.fixture
def ease(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


def litter(folder: Path, expected: set[str]) -> None:
    assert {path.name for path in folder.iterdir()} == expected


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_directory_is_readable_without_recae(model, text_data, tmp_path) -> None:
    path = model.save(tmp_path / "model")
    assert {part.name for part in path.iterdir()} == PARTS
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["format"] == 2
    assert config["recae"] == recae.__version__
    assert config["model"] == type(model).name
    assert config["n_items"] == 16
    assert config["files"] == {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in PARTS - {"config.json"}
    }
    params = {k: list(v) if isinstance(v, tuple) else v for k, v in model.get_params().items()}
    assert config["params"] == params
    items = pd.read_parquet(path / "items.parquet")
    assert items["item_id"].tolist() == text_data.items.ids.tolist()
    assert items["users"].tolist() == text_data.matrix.getnnz(axis=0).tolist()
    weights = load_file(path / "weights.safetensors")
    assert weights.keys() == model._arrays().keys()
    for name, tensor in model._arrays().items():
        np.testing.assert_array_equal(weights[name], tensor.cpu().numpy())


def test_nothing_is_pickled(model, tmp_path) -> None:
    path = model.save(tmp_path / "model", with_history=True)
    for name, data in content(path).items():
        assert not name.endswith((".pkl", ".pt", ".pth", ".npy", ".npz"))
        # A pickle starts with its protocol, one of torch is a zip of pickles.
        assert data[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")
        assert b"torch._utils" not in data and b"numpy.core" not in data


def test_the_history_is_saved_only_when_asked_for(ease, text_frame, tmp_path) -> None:
    path = ease.save(tmp_path / "model", with_history=True)
    assert {part.name for part in path.iterdir()} == PARTS | {"history.parquet", "users.parquet"}
    frame = pd.read_parquet(path / "history.parquet")
    assert set(zip(frame["user_id"], frame["item_id"], strict=True)) == set(
        text_frame.itertuples(index=False, name=None)
    )
    # Saved over without: the old history does not linger.
    ease.save(path, overwrite=True)
    assert {part.name for part in path.iterdir()} == PARTS


def test_hyperparameters_come_back_as_they_were(text_data, tmp_path) -> None:
    model = MultVAE(
        latent=np.int64(8), hidden=(np.int32(16), 8), lr=np.float32(0.5), mirror=False, epochs=1
    ).fit(text_data)
    loaded = recae.load(model.save(tmp_path / "model"))
    assert loaded.get_params() == model.get_params()
    assert loaded.get_params()["hidden"] == (16, 8)
    assert isinstance(loaded.hidden, tuple) and isinstance(loaded.mirror, bool)
    assert loaded.epochs_ == []


def test_a_path_that_is_no_model_is_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("model")
    for name in ("empty", "file", "absent"):
        with pytest.raises(DataError, match=rf"{name} is not a model directory: it has no config"):
            recae.load(tmp_path / name)


def change(path: Path, **entries: Any) -> None:
    config = json.loads((path / "config.json").read_text()) | entries
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 3, "recae": "9.1"}, r"format 3; this recae \S+ reads format 2: .*recae 9.1"),
        ({"format": 1}, "has format 1"),
        ({"format": None}, "has format None"),
        ({"model": "prophecy"}, "holds a 'prophecy'; known models: als, auto-rec, .*popularity"),
        ({"model": ["ease"]}, "known models"),
        ({"params": {"l3": 1}}, "unknown hyperparameter of EASE 'l3'"),
        ({"params": {"l2": -1}}, "l2 of EASE must be a number > 0, not -1"),
        ({"params": "l2"}, "config.json is damaged"),
        ({"params": None}, "config.json is damaged"),
        ({"files": None}, "config.json is damaged"),
        ({"files": {}}, "items.parquet is not what was saved"),
    ],
)
def test_a_config_of_something_else_is_refused(ease, tmp_path, entries, message) -> None:
    path = ease.save(tmp_path / "model")
    change(path, **entries)
    with pytest.raises(DataError, match=message) as caught:
        recae.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"format": 1}', "\x00\xff"])
def test_a_damaged_config_is_refused(ease, tmp_path, text) -> None:
    path = ease.save(tmp_path / "model")
    (path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="config.json is damaged: .*; save the model again"):
        recae.load(path)


@pytest.mark.parametrize("part", sorted((PARTS | {"users.parquet"}) - {"config.json"}))
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_a_missing_or_damaged_part_is_refused(model, tmp_path, part, damage) -> None:
    path = model.save(tmp_path / "model", with_history=True)
    data = (path / part).read_bytes()
    (path / part).unlink()
    if damage != "missing":
        damaged = {"empty": b"", "cut": data[: len(data) // 2], "noise": b"\x07" * len(data)}
        (path / part).write_bytes(damaged[damage])
    wanted = f"{part} is missing" if damage == "missing" else f"{part} is not what was saved"
    with pytest.raises(DataError, match=wanted + ".*; save the model again") as e:
        recae.load(path)
    assert str(path) in str(e.value)


def test_a_single_altered_bit_is_refused(ease, tmp_path) -> None:
    # The shapes fit and every number is one: only the digest can tell.
    path = ease.save(tmp_path / "model")
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "weights.safetensors").write_bytes(data)
    with pytest.raises(DataError, match="weights.safetensors is not what was saved: cut short, al"):
        recae.load(path)


@pytest.mark.parametrize("part", ["weights.safetensors", "items.parquet"])
def test_parts_of_different_models_are_refused(model, text_data, tmp_path, part) -> None:
    path = model.save(tmp_path / "model")
    fewer = text_data.select_items(range(9))
    other = model.clone().fit(fewer).save(tmp_path / "other")
    (path / part).write_bytes((other / part).read_bytes())
    with pytest.raises(DataError, match="not what was saved"):
        recae.load(path)
    # Even under a config that vouches for it.
    files = json.loads((path / "config.json").read_text())["files"]
    change(path, files=files | {part: hashlib.sha256((path / part).read_bytes()).hexdigest()})
    with pytest.raises(DataError, match="is damaged: .*; save the model again"):
        recae.load(path)


def test_a_model_replaced_while_it_is_read_is_the_old_or_the_new_one(
    ease, text_data, tmp_path, monkeypatch
) -> None:
    path = ease.save(tmp_path / "model")
    new = EASE(l2=50.0).fit(text_data)
    read, times = persistence.load_file, iter(range(9))

    def replaced_in_between(file: Path) -> Any:
        if next(times) == 0:  # the digests of the old files are checked already
            new.save(path, overwrite=True)
        return read(file)

    monkeypatch.setattr(persistence, "load_file", replaced_in_between)
    loaded = recae.load(path)
    assert loaded.get_params()["l2"] == 50
    np.testing.assert_array_equal(loaded.weights_, new.weights_)


def test_a_model_is_only_replaced_when_asked_for(ease, text_data, tmp_path) -> None:
    path = ease.save(tmp_path / "model")
    before = content(path)
    other = EASE(l2=50.0).fit(text_data)
    with pytest.raises(StorageError, match="model exists: pass overwrite=True"):
        other.save(path)
    assert content(path) == before
    assert other.save(path, overwrite=True) == path
    assert recae.load(path).get_params()["l2"] == 50
    litter(tmp_path, {"model"})


def test_what_is_no_model_is_never_replaced(ease, tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter 1").write_text("It was a dark night.")
    (tmp_path / "note").write_text("note")
    (tmp_path / "empty").mkdir()
    assert ease.save(tmp_path / "empty").is_dir()  # an empty folder may be written into
    shutil.rmtree(tmp_path / "empty")
    for name in ("thesis", "note"):
        with pytest.raises(StorageError, match=f"{name} exists and holds no config.json"):
            ease.save(tmp_path / name, overwrite=True)
    with pytest.raises(StorageError, match="the folder .*nowhere does not exist: create it first"):
        ease.save(tmp_path / "nowhere" / "model")
    assert (tmp_path / "thesis" / "chapter 1").read_text() == "It was a dark night."
    litter(tmp_path, {"thesis", "note"})


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(ease, tmp_path, monkeypatch, there) -> None:
    path = tmp_path / "model"
    before = content(ease.save(path)) if there else {}

    def full(arrays: Any, file: Path) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(persistence, "save_file", full)
    with pytest.raises(StorageError, match="No space left on device; nothing was changed"):
        ease.save(path, overwrite=True)
    litter(tmp_path, {"model"} if there else set())
    assert not there or content(path) == before


LIMITED = """
import resource, sys, recae
model = recae.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    model.save(sys.argv[1], overwrite=True)
except recae.errors.StorageError as error:
    print(error)
"""


def test_a_real_refusal_of_the_system_is_a_storage_error(tmp_path) -> None:
    # safetensors has an exception of its own for what the system refuses.
    path = EASE().fit(sp.identity(90, format="csr")).save(tmp_path / "model")
    before = content(path)
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    assert "could not write" in run.stdout and "File too large" in run.stdout
    assert content(path) == before
    litter(tmp_path, {"model"})
