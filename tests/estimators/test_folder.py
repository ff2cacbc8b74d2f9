"""A saved folder is whole, unaltered and of the kind asked for, or it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recae
from recae import Interactions
from recae.estimators.folder import CONFIG, WEIGHTS, kind_of, read_folder, write_folder

SETTINGS = {"a": [1, 2.5, None], "b": {"c": "d"}, "n": np.int64(3)}
ARRAYS = {"x": torch.arange(6.0).reshape(2, 3), "y": torch.tensor(1.5, dtype=torch.float64)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "saved", "Thing", SETTINGS, ARRAYS)


def read(folder: Path) -> Any:
    return read_folder(folder, {"Thing": None})


def test_what_is_written_is_read(folder: Path) -> None:
    kind, settings, arrays = read(folder)
    assert kind == kind_of(folder) == "Thing"
    assert settings == {"a": [1, 2.5, None], "b": {"c": "d"}, "n": 3}
    assert sorted(arrays) == ["x", "y"]
    assert all(torch.equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_every_altered_byte_and_every_length_is_refused(file: str, folder: Path) -> None:
    whole = (folder / file).read_bytes()
    for place in range(0, len(whole), max(len(whole) // 40, 1)):
        altered = bytearray(whole)
        altered[place] ^= 1
        for content in (bytes(altered), whole[:place]):
            (folder / file).write_bytes(content)
            try:
                assert read(folder)[1] == {"a": [1, 2.5, None], "b": {"c": "d"}, "n": 3}
                assert json.loads(content) == json.loads(whole)  # white space
            except recae.DataError as error:
                assert str(folder) in str(error)
    (folder / file).unlink()
    with pytest.raises(recae.DataError, match="damaged|nothing saved"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "Other"}, "holds a 'Other', not one of: Thing"),
        ({"kind": ["Thing"]}, "holds a "),
        ({"format": 99}, "has format 99; this recae .* reads format 1"),
        ({"settings": {"a": 1}}, "config.json is not what was saved: it was altered"),
        ({"files": {}}, "altered"),
        ({"kind": None}, "holds a recommender: read it with recae.load"),
    ],
)
def test_another_config_is_refused(change: dict[str, Any], words: str, folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(recae.DataError, match=words):
        read(folder)
    for text in ("[]", "3", "{}", "{", ""):
        (folder / CONFIG).write_text(text)
        with pytest.raises(recae.DataError, match="damaged"):
            read(folder)


def test_weights_of_another_are_refused(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", "Thing", SETTINGS, {"x": torch.zeros(2, 3)})
    shutil.copy(other / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(recae.DataError, match="cut short, altered or another's"):
        read(folder)


def test_a_folder_replaced_while_it_is_read_is_one_or_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done = Path.read_bytes, []

    def replacing(path: Path) -> bytes:
        if not done:
            done.append(path)
            write_folder(folder, "Thing", {"new": 1}, {"x": torch.ones(1)}, overwrite=True)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", replacing)
    assert read(folder)[1] == {"new": 1}
    assert len(done) == 1


def test_what_is_in_the_way_stays(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(recae.errors.StorageError):
        write_folder(folder, "Thing", {}, {})
    assert len(read(folder)[2]) == 2
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    with pytest.raises(recae.errors.StorageError):
        write_folder(foreign, "Thing", {}, {}, overwrite=True)
    assert (foreign / "mine.txt").read_text() == "mine"


def test_one_load_for_recommenders_and_transformers(
    text_data: Interactions, tmp_path: Path
) -> None:
    ease = recae.EASE(l2=3).fit(text_data).save(tmp_path / "ease")
    X = np.random.default_rng(0).normal(size=(20, 6))
    model = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X)
    coder = model.save(tmp_path / "coder")
    assert repr(recae.load(ease)) == "EASE(l2=3)"
    assert np.array_equal(recae.load(coder).transform(X), model.transform(X))
    assert isinstance(recae.load(coder, recae.Autoencoder), recae.Autoencoder)
    with pytest.raises(recae.DataError, match="holds an Autoencoder; a recae.Recommender was"):
        recae.load(coder, recae.Recommender)
    with pytest.raises(recae.DataError, match="holds an EASE; a recae.SparseAutoencoder was"):
        recae.load(ease, recae.SparseAutoencoder)
    with pytest.raises(recae.DataError, match="not a model directory"):
        recae.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": {"latent": 3}}, "cannot be restored"),
        ({"params": {"latnt": 3}}, "Did you mean 'latent'"),
        ({"shape": [7]}, "cannot be restored"),
        ({"shape": None}, "cannot be restored"),
        ({"shape": "6"}, "the shape of an example is '6'"),
        ({"shape": [-2, -3]}, "the shape of an example is"),
        ({"shape": [True, 6]}, "the shape of an example is"),
        ({"shape": [10**30]}, "cannot be restored"),
        ({"shape": [10**13]}, "cannot be restored"),  # more than there is memory for
        ({"params": {"latent": 10**12}}, "cannot be restored"),
        ({"names": 5}, "cannot be restored"),
        ({"names": ["a"]}, "the names of the 6 features"),
        ({"names": [1] * 6}, "the names of the 6 features"),
    ],
)
def test_settings_that_do_not_fit_the_weights_are_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    folder = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X).save(tmp_path / "coder")
    kind, settings, arrays = read_folder(folder, {"Autoencoder": None})
    write_folder(folder, kind, settings | change, arrays, overwrite=True)
    with pytest.raises(recae.DataError, match=words):
        recae.load(folder)


def test_only_what_was_learnt_is_set(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    model = recae.VariationalAutoencoder(latent=2, hidden=(4,), epochs=1).fit(X)
    kind, settings, arrays = read_folder(
        model.save(tmp_path / "coder"), {"VariationalAutoencoder": None}
    )
    for learnt in ({}, {"noise_variance_": "x"}, {"noise_variance_": float("nan")}, [1]):
        bad = write_folder(
            tmp_path / "bad", kind, settings | {"learnt": learnt}, arrays, overwrite=True
        )
        with pytest.raises(recae.DataError, match="cannot be restored"):
            recae.load(bad)
    more = settings | {"learnt": settings["learnt"] | {"transform": 3}}
    loaded = recae.load(write_folder(tmp_path / "more", kind, more, arrays))
    assert np.array_equal(loaded.transform(X), model.transform(X))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scaling.scale", torch.tensor(0.0)),
        ("scaling.scale", torch.tensor(float("nan"))),
        ("scaling.centre", torch.zeros(1)),
        ("scaling.centre", torch.full((6,), float("inf"))),
        ("net.more", torch.zeros(3)),
    ],
)
def test_arrays_that_fit_cannot_have_left_are_refused(
    name: str, value: torch.Tensor, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    folder = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X).save(tmp_path / "coder")
    kind, settings, arrays = read_folder(folder, {"Autoencoder": None})
    write_folder(folder, kind, settings, arrays | {name: value}, overwrite=True)
    with pytest.raises(recae.DataError, match="cannot be restored"):
        recae.load(folder)


def test_json_without_an_end_of_brackets_is_damaged(folder: Path) -> None:
    (folder / CONFIG).write_text("[" * 100_000)
    for reader in (read, recae.load, recae.apply.compress.ImageCodec.load):
        with pytest.raises(recae.DataError, match="damaged|not a model"):
            reader(folder)


def test_a_foreign_config_json_is_not_overwritten(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for text in ('{"architectures": ["BertModel"]}', "[]", "{"):
        (foreign / CONFIG).write_text(text)
        with pytest.raises(recae.errors.StorageError, match="not saved by recae"):
            write_folder(foreign, "Thing", {}, {}, overwrite=True)
        assert (foreign / CONFIG).read_text() == text
