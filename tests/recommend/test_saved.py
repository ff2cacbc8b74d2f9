"""Recommenders on disk: what the folder holds, what is refused, and that no save is half written.

That a loaded model gives the same lists is a law of the contract, tested for every model there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file

import recae
from recae import ALS, EASE, DataError, Interactions, MultDAE, MultVAE, Popularity
from recae.data import IdMap
from recae.errors import NotFittedError, StorageError
from recae.estimators import saved as saved_form
from recae.system.digests import sha256_of_json

PARTS = {"config.json", "model.safetensors", "items.parquet", "README.md"}
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


def test_the_folder_is_readable_without_recae(model, text_data, tmp_path) -> None:
    path = model.save(tmp_path / "model")
    assert {part.name for part in path.iterdir()} == PARTS
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["kind"] == type(model).__name__
    params = {k: list(v) if isinstance(v, tuple) else v for k, v in model.get_params().items()}
    assert config["settings"]["params"] == params
    items = pd.read_parquet(path / "items.parquet")
    assert items["item_id"].tolist() == text_data.items.ids.tolist()
    assert items["users"].tolist() == text_data.matrix.getnnz(axis=0).tolist()
    weights = load_file(path / "model.safetensors")
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


def alter(path: Path, **changes: Any) -> None:
    """Changes entries of the config, with a digest that vouches for them."""
    config = json.loads((path / "config.json").read_text()) | changes
    del config["digest"]
    config["digest"] = sha256_of_json(config)
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"params": {"l3": 1}}, "unknown hyperparameter .*'l3'"),
        ({"params": {"l2": -1}}, "l2 .*> 0, not -1"),
        ({"params": "l2"}, "cannot be .*load"),
        ({"params": None}, "cannot be .*load"),
        ({"facts": None}, "cannot be .*load"),
        (None, "cannot be .*load"),
    ],
)
def test_settings_of_something_else_are_refused(ease, tmp_path, settings, words) -> None:
    path = ease.save(tmp_path / "model")
    saved = json.loads((path / "config.json").read_text())["settings"]
    alter(path, settings=settings and saved | settings)
    with pytest.raises(DataError, match=words) as caught:
        recae.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("part", sorted((PARTS | {"users.parquet"}) - {"config.json", "README.md"}))
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_a_missing_or_damaged_part_is_refused(model, tmp_path, part, damage) -> None:
    path = model.save(tmp_path / "model", with_history=True)
    data = (path / part).read_bytes()
    (path / part).unlink()
    if damage != "missing":
        damaged = {"empty": b"", "cut": data[: len(data) // 2], "noise": b"\x07" * len(data)}
        (path / part).write_bytes(damaged[damage])
    wanted = f"{part} is missing" if damage == "missing" else f"{part} .*cut short, altered"
    with pytest.raises(DataError, match=wanted) as e:
        recae.load(path)
    assert str(path) in str(e.value)


def test_a_single_altered_bit_is_refused(ease, tmp_path) -> None:
    # The shapes fit and every number is one: only the digest can tell.
    path = ease.save(tmp_path / "model")
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError, match="model.safetensors .*altered"):
        recae.load(path)


@pytest.mark.parametrize("part", ["model.safetensors", "items.parquet"])
def test_parts_of_different_models_are_refused(model, text_data, tmp_path, part) -> None:
    path = model.save(tmp_path / "model")
    fewer = text_data.select_items(range(9))
    other = model.clone().fit(fewer).save(tmp_path / "other")
    (path / part).write_bytes((other / part).read_bytes())
    with pytest.raises(DataError, match=f"{part} .*altered"):
        recae.load(path)
    # Even under a config that vouches for it.
    files = json.loads((path / "config.json").read_text())["files"]
    alter(path, files=files | {part: hashlib.sha256((path / part).read_bytes()).hexdigest()})
    with pytest.raises(DataError, match="cannot be .*load"):
        recae.load(path)


@pytest.mark.parametrize("moment", ["check_digests", "load_file"])
def test_a_model_replaced_while_it_is_read_is_the_old_or_the_new_one(
    ease, text_data, tmp_path, monkeypatch, moment
) -> None:
    path = ease.save(tmp_path / "model", with_history=True)
    new = EASE(l2=50.0).fit(text_data.select_items(range(9)))
    read, times = getattr(saved_form, moment), iter(range(9))

    def replaced_in_between(*args: Any) -> Any:
        if next(times) == 0:
            new.save(path, with_history=True, overwrite=True)
        return read(*args)

    monkeypatch.setattr(saved_form, moment, replaced_in_between)
    loaded = recae.load(path)
    assert loaded.get_params()["l2"] == 50 and loaded.fingerprint() == new.fingerprint()
    np.testing.assert_array_equal(loaded.weights_, new.weights_)


def test_a_fingerprint_is_of_all_that_decides_the_lists(ease, text_data, tmp_path) -> None:
    path = ease.save(tmp_path / "model")
    assert recae.load(path).fingerprint() == ease.fingerprint() == ease.fingerprint()
    assert EASE(l2=3.0).fit(text_data).fingerprint() == ease.fingerprint()
    weights = EASE(l2=3.0).fit(text_data)
    weights.weights_ = weights.weights_.clone()
    weights.weights_[0, 1] *= 1 + 2e-7
    items = EASE(l2=3.0).fit(text_data)
    items.items_ = IdMap([f"{id}'" for id in items.items_.ids], "item")
    others = [EASE(l2=3.5).fit(text_data), weights, items]
    found = {other.fingerprint() for other in others} | {ease.fingerprint()}
    assert len(found) == 4 and all(len(digits) == 16 for digits in found)
    with pytest.raises(NotFittedError):
        EASE().fingerprint()


def test_a_model_is_only_replaced_when_asked_for(ease, text_data, tmp_path) -> None:
    path = ease.save(tmp_path / "model")
    before = content(path)
    other = EASE(l2=50.0).fit(text_data)
    with pytest.raises(StorageError, match="model exists: .*overwrite=True"):
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
        with pytest.raises(StorageError, match=f"{name} .*no config.json"):
            ease.save(tmp_path / name, overwrite=True)
    with pytest.raises(StorageError, match="folder .*nowhere .*not exist"):
        ease.save(tmp_path / "nowhere" / "model")
    assert (tmp_path / "thesis" / "chapter 1").read_text() == "It was a dark night."
    litter(tmp_path, {"thesis", "note"})


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(ease, tmp_path, monkeypatch, there) -> None:
    path = tmp_path / "model"
    before = content(ease.save(path)) if there else {}

    def full(arrays: Any, file: Path, metadata: Any) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saved_form, "save_file", full)
    with pytest.raises(StorageError, match="model: No space"):
        ease.save(path, overwrite=True)
    litter(tmp_path, {"model"} if there else set())
    assert not there or content(path) == before


def test_a_real_refusal_of_the_system_is_a_storage_error(tmp_path) -> None:
    # safetensors has an exception of its own for what the system refuses.
    path = EASE().fit(sp.identity(90, format="csr")).save(tmp_path / "model")
    before = content(path)
    resource = pytest.importorskip("resource", reason="the limit is one of Unix")
    model, usual = recae.load(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(recae.errors.StorageError) as refused:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, usual[1]))
        try:
            model.save(path, overwrite=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "could not write" in str(refused.value) and "File too large" in str(refused.value)
    assert content(path) == before
    litter(tmp_path, {"model"})
