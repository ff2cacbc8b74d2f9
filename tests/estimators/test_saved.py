"""The saved form: what a folder holds, what is refused, and that every kind comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import recae
from recae import Interactions
from recae.estimators import saved
from recae.estimators.saved import ARRAYS, CARD, CONFIG, FORMAT, Contents, card, register, write
from recae.system.digests import sha256, sha256_of_json

SETTINGS = {"a": [1, 2.5, None], "b": {"c": "d"}, "n": np.int64(3)}
TENSORS = {"x": torch.arange(6.0).reshape(2, 3), "y": torch.tensor(1.5, dtype=torch.float64)}
FILES = {"more.txt": lambda path: path.write_text("more")}
CONTENTS = Contents(SETTINGS, TENSORS, FILES)
READ = {"a": [1, 2.5, None], "b": {"c": "d"}, "n": 3}
PARTS = [CONFIG, ARRAYS, "more.txt"]


@register
class Thing:
    """Something fitted."""

    def __init__(self, settings: Any, arrays: Any, files: Any) -> None:
        self.settings, self.arrays = settings, arrays
        self.files = {name: path.read_bytes() for name, path in files.items()}

    @classmethod
    def _restored(cls, settings: Any, arrays: Any, files: Any) -> Thing:
        if settings == "wrong":
            raise ValueError("settings are wrong")
        return cls(settings, arrays, files)


@register
class Attached(Thing):
    """Something that belongs to a model."""

    needs_model = True

    @classmethod
    def _restored(cls, settings: Any, arrays: Any, files: Any, model: Any = None) -> Attached:
        found = cls(settings, arrays, files)
        found.settings = model
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(Thing, CONTENTS, tmp_path / "saved")


def alter(folder: Path, *, seal: bool = True, **changes: Any) -> None:
    """Changes entries of the config; seal: with a digest that vouches for them."""
    config = json.loads((folder / CONFIG).read_text()) | changes
    config = {key: value for key, value in config.items() if value != "gone"}
    if seal:
        config.pop("digest")
        config["digest"] = sha256_of_json(config)
    (folder / CONFIG).write_text(json.dumps(config))


def test_what_is_written_is_read(folder: Path) -> None:
    thing = recae.load(folder, Thing)
    assert thing.settings == READ
    assert sorted(thing.arrays) == ["x", "y"]
    assert all(torch.equal(thing.arrays[name], TENSORS[name]) for name in TENSORS)
    assert thing.files["more.txt"] == b"more"
    assert {path.name for path in folder.iterdir()} == {*PARTS, CARD}


def test_the_config_is_readable_without_recae(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    assert config["kind"] == "Thing" and config["format"] == FORMAT == 3
    assert config["recae"] == recae.__version__
    names = {ARRAYS, "more.txt"}
    assert config["files"] == {name: sha256((folder / name).read_bytes()) for name in names}


def test_others_may_read_as_far_as_the_umask_says(tmp_path: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            path = write(Thing, CONTENTS, tmp_path / f"{umask:o}")
        finally:
            os.umask(before)
        assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {mode}


@pytest.mark.parametrize("file", PARTS)
def test_every_altered_byte_and_every_length_is_refused(file: str, folder: Path) -> None:
    whole = (folder / file).read_bytes()
    for place in range(0, len(whole), max(len(whole) // 40, 1)):
        altered = bytearray(whole)
        altered[place] ^= 1
        for content in (bytes(altered), whole[:place]):
            (folder / file).write_bytes(content)
            try:
                assert recae.load(folder).settings == READ
                assert json.loads(content) == json.loads(whole)  # white space
            except recae.DataError as error:
                assert str(folder) in str(error)
    (folder / file).unlink()
    with pytest.raises(recae.DataError, match=file):
        recae.load(folder)


def test_the_model_card_may_be_edited_or_removed(folder: Path) -> None:
    (folder / CARD).write_text("My thesis.")
    assert recae.load(folder).settings == READ
    (folder / CARD).unlink()
    assert recae.load(folder).settings == READ


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "Other"}, "'Other'.*Known: .*EASE.*Thing"),
        ({"kind": "Recommender"}, "'Recommender'"),  # abstract
        ({"kind": "AnomalyDetector"}, "'AnomalyDetector'"),  # cannot be saved
        ({"kind": ["Thing"]}, r"kind .*\['Thing'\]"),
        ({"kind": "gone"}, "kind"),
        ({"format": 99, "recae": "9.1"}, "format 99; .* reads format 3.* 9.1"),
        ({"format": 2}, "format 2; .* reads format 3"),
        ({"format": 1, "kind": "gone"}, "format 1; .* reads format 3"),
        ({"format": None}, "format None"),
        ({"format": "gone"}, "config.json.*format"),
        ({"recae": "gone"}, "config.json.*recae"),
        ({"files": {}}, ARRAYS),
        ({"files": None}, "files .*None"),
        ({"files": {"more.txt": "0"}}, "more.txt"),
        ({"files": {"../more.txt": "0"}}, r"'\.\./more.txt' .*file"),
        ({"files": {"/etc/hostname": "0"}}, "'/etc/hostname' .*file"),
        ({"files": {"a\\b": "0"}}, r"a\\\\b.*name .*file"),
        ({"files": {"..": "0"}}, r"missing|'\.\.' .*file"),
        ({"files": {"": "0"}}, "'' .*name .*file"),
        ({"settings": "wrong"}, "settings .*wrong"),
    ],
)
def test_another_config_is_refused(change: dict[str, Any], words: str, folder: Path) -> None:
    alter(folder, **change)
    with pytest.raises(recae.DataError, match=words) as caught:
        recae.load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("change", [{"settings": {"a": 1}}, {"files": {}}, {"kind": "Attached"}])
def test_an_altered_config_is_refused(change: dict[str, Any], folder: Path) -> None:
    alter(folder, seal=False, **change)
    with pytest.raises(recae.DataError, match="config.json .*altered"):
        recae.load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", "{}", "\x00\xff", '{"format": 3}', "[" * 100_000]
)
def test_a_damaged_config_is_refused(text: str, folder: Path) -> None:
    (folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(recae.DataError) as caught:
        recae.load(folder)
    assert str(folder) in str(caught.value)


def test_arrays_of_another_are_refused(folder: Path, tmp_path: Path) -> None:
    other = write(Thing, Contents(SETTINGS, {"x": torch.zeros(2, 3)}), tmp_path / "other")
    shutil.copy(other / ARRAYS, folder / ARRAYS)
    with pytest.raises(recae.DataError, match=f"{ARRAYS} .*altered"):
        recae.load(folder)


def test_what_holds_nothing_saved_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("model")
    for name in ("empty", "file", "absent"):
        with pytest.raises(recae.DataError, match=f"{name} .*no {CONFIG}"):
            recae.load(tmp_path / name)
    for path in (None, 7):
        with pytest.raises(recae.ConfigError, match=str(path)):
            recae.load(path)  # type: ignore[call-overload]


@pytest.mark.parametrize("moment", ["digests", "arrays", "restoring"])
def test_a_folder_replaced_while_it_is_read_is_one_or_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    done = []

    def replacing(call: Any) -> Any:
        def replaced(*args: Any) -> Any:
            if not done:
                done.append(moment)
                write(Thing, Contents({"new": 1}, {"x": torch.ones(1)}), folder, overwrite=True)
            return call(*args)

        return replaced

    if moment == "restoring":
        monkeypatch.setattr(Thing, "_restored", replacing(Thing._restored))
    else:
        name = {"digests": "check_digests", "arrays": "load_file"}[moment]
        monkeypatch.setattr(saved, name, replacing(getattr(saved, name)))
    thing = recae.load(folder)
    assert thing.settings == {"new": 1} and done == [moment]
    assert torch.equal(thing.arrays["x"], torch.ones(1))


def test_what_is_in_the_way_stays(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(recae.errors.StorageError, match="exists"):
        write(Thing, CONTENTS, folder)
    with pytest.raises(recae.ConfigError, match="overwrite"):
        write(Thing, CONTENTS, folder, overwrite="yes")  # type: ignore[arg-type]
    assert recae.load(folder).settings == READ
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    with pytest.raises(recae.errors.StorageError):
        write(Thing, CONTENTS, foreign, overwrite=True)
    assert (foreign / "mine.txt").read_text() == "mine"


def test_a_foreign_config_json_is_not_overwritten(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for text in ('{"architectures": ["BertModel"]}', "[]", "{"):
        (foreign / CONFIG).write_text(text)
        with pytest.raises(recae.errors.StorageError, match=CONFIG):
            write(Thing, CONTENTS, foreign, overwrite=True)
        assert (foreign / CONFIG).read_text() == text


def test_an_older_format_may_be_overwritten(folder: Path) -> None:
    alter(folder, format=2, kind="gone")
    write(Thing, CONTENTS, folder, overwrite=True)
    assert recae.load(folder).settings == READ


def test_one_load_for_all_kinds(text_data: Interactions, tmp_path: Path) -> None:
    ease = recae.EASE(l2=3).fit(text_data).save(tmp_path / "ease")
    X = np.random.default_rng(0).normal(size=(20, 6))
    model = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X)
    coder = model.save(tmp_path / "coder")
    assert repr(recae.load(ease)) == "EASE(l2=3)"
    assert np.array_equal(recae.load(coder).transform(X), model.transform(X))
    assert isinstance(recae.load(coder, recae.Autoencoder), recae.Autoencoder)
    with pytest.raises(recae.DataError, match="an Autoencoder; a recae.Recommender"):
        recae.load(coder, recae.Recommender)
    with pytest.raises(recae.DataError, match="an EASE; a recae.SparseAutoencoder"):
        recae.load(ease, recae.SparseAutoencoder)
    with pytest.raises(recae.ConfigError) as caught:
        recae.load(ease, "EASE")  # type: ignore[call-overload]
    assert caught.value.parameter == "kind"


def test_a_class_of_the_user_is_known_by_its_name(text_data: Interactions, tmp_path: Path) -> None:
    class Mine(recae.EASE):
        """An EASE of the user."""

    path = Mine(l2=3).fit(text_data).save(tmp_path / "mine")
    assert type(recae.load(path)) is Mine


def test_a_fresh_process_knows_every_kind(text_data: Interactions, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    recae.EASE().fit(text_data).save(tmp_path / "EASE")
    recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X).save(tmp_path / "Autoencoder")
    small = recae.apply.compress.compress_embeddings(X, 12, epochs=1, rounds=1)
    small.save(tmp_path / "CompressedEmbeddings")
    script = (
        "import sys; from recae.estimators.saved import load\n"
        "for path in sys.argv[1:]: print(type(load(path)).__name__)"
    )
    names = ["EASE", "Autoencoder", "CompressedEmbeddings"]
    paths = [str(tmp_path / name) for name in names]
    run = [sys.executable, "-c", script, *paths]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == names


def test_what_belongs_to_a_model_is_given_it(folder: Path, tmp_path: Path) -> None:
    attached = write(Attached, CONTENTS, tmp_path / "attached")
    model = object()
    assert recae.load(attached, model=model).settings is model
    for path, given in ((attached, None), (folder, model)):
        with pytest.raises(recae.ConfigError) as caught:
            recae.load(path, model=given)
        assert caught.value.parameter == "model" and caught.value.value is given


def test_the_model_card_says_what_is_known(text_data: Interactions, tmp_path: Path) -> None:
    fold = recae.data.splits.holdout_pairs(text_data, 0.2, seed=1)
    model = recae.MultDAE(latent=4, epochs=3, metric="ndcg@5").fit(fold.train, fold.validation)
    text = (model.save(tmp_path / "model") / CARD).read_text(encoding="utf-8")
    front, _, body = text.removeprefix("---\n").partition("---\n")
    assert front == "library_name: recae\ntags:\n- recae\n- MultDAE\n"
    assert body.startswith("\n# MultDAE\n") and "recae.load(" in body
    best = max(model.epochs_, key=lambda epoch: epoch.metrics["ndcg@5"])
    for name, value in (
        ("latent", 4),
        ("metric", "ndcg@5"),
        ("users", 36),
        ("items", 16),
        ("interactions", fold.train.nnz),
        ("fingerprint", fold.train.fingerprint()),
        ("ndcg@5", round(best.metrics["ndcg@5"], 6)),
        ("epoch", best.number),
    ):
        assert f"\n| {name} | {value} |\n" in body
    again = recae.load(tmp_path / "model").save(tmp_path / "again")  # the facts are kept
    assert (again / CARD).read_text(encoding="utf-8") == text


def test_a_cell_of_the_model_card_stays_in_its_table(text_data: Interactions) -> None:
    text = card("Kind", "Doc.\n\nMore.", {"params": {"a": "x|y\nz", "b": ""}})
    assert "\nDoc.\n" in text and "More" not in text
    assert "\n| a | x\\|y z |\n| b | '' |\n" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": {"latent": 3}}, "coder cannot .*load"),
        ({"params": {"latnt": 3}}, "'latnt'.* mean 'latent'"),
        ({"shape": [7]}, "coder cannot .*load"),
        ({"shape": None}, "coder cannot .*load"),
        ({"shape": "6"}, "shape .*example .*'6'"),
        ({"shape": [-2, -3]}, r"shape .*example .*\[-2, -3\]"),
        ({"shape": [True, 6]}, r"shape .*example .*\[True, 6\]"),
        ({"shape": [10**30]}, "coder cannot .*load"),
        ({"shape": [10**13]}, "coder cannot .*load"),  # more than there is memory for
        ({"params": {"latent": 10**12}}, "coder cannot .*load"),
        ({"names": 5}, "coder cannot .*load"),
        ({"names": ["a"]}, "names .* 6 features"),
        ({"names": [1] * 6}, "names .* 6 features"),
    ],
)
def test_settings_that_do_not_fit_the_weights_are_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    model, folder = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X), tmp_path / "coder"
    kept = model._contents()
    write(type(model), Contents({**kept.settings, **change}, kept.arrays), folder)
    with pytest.raises(recae.DataError, match=words):
        recae.load(folder)


def test_only_what_was_learnt_is_set(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    model = recae.VariationalAutoencoder(latent=2, hidden=(4,), epochs=1).fit(X)
    kept = model._contents()

    def written(learnt: Any) -> Path:
        contents = Contents({**kept.settings, "learnt": learnt}, kept.arrays)
        return write(type(model), contents, tmp_path / "coder", overwrite=True)

    for learnt in ({}, {"noise_variance_": "x"}, {"noise_variance_": float("nan")}, [1]):
        with pytest.raises(recae.DataError, match="coder cannot .*load"):
            recae.load(written(learnt))
    loaded = recae.load(written(kept.settings["learnt"] | {"transform": 3}))
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
    model, folder = recae.Autoencoder(latent=2, hidden=(4,), epochs=1).fit(X), tmp_path / "coder"
    kept = model._contents()
    write(type(model), Contents(kept.settings, {**kept.arrays, name: value}), folder)
    with pytest.raises(recae.DataError, match="coder cannot .*load"):
        recae.load(folder)


def test_arrays_that_share_their_memory_are_written_each(tmp_path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    arrays = {"whole": whole, "again": whole, "part": whole[1], "across": whole.T}
    saved.write_arrays(tmp_path / "some", arrays)
    torch.testing.assert_close(load_file(tmp_path / "some"), arrays, rtol=0, atol=0)
