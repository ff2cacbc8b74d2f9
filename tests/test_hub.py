"""Models on a hub that is a folder: uploaded, fetched at a revision, and checked like any other."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import recae
from recae import ConfigError, DataError
from recae.errors import DownloadError, StorageError

huggingface_hub = pytest.importorskip("huggingface_hub")


class FolderHub:
    """The two calls of the hub, and its cache with symbolic links, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.refuses = folder, [], False

    def HfApi(self, token: str | None = None) -> FolderHub:
        self.calls.append(("token", token))
        return self

    def create_repo(self, repo_id: str, **options: Any) -> str:
        if self.refuses:
            raise huggingface_hub.errors.HFValidationError(f"no {repo_id}")
        self.calls.append(("create", options["private"]))
        assert options["exist_ok"] and options["repo_type"] == "model"
        return f"https://hub.test/{repo_id}"

    def upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> None:
        place = self.folder / "repos" / repo_id / (options["revision"] or "main")
        place.mkdir(parents=True, exist_ok=True)
        for file in [*place.iterdir()]:
            if any(fnmatch.fnmatch(file.name, p) for p in options["delete_patterns"]):
                file.unlink()
        shutil.copytree(folder_path, place, dirs_exist_ok=True)
        self.calls.append(("message", options["commit_message"]))

    def snapshot_download(self, repo_id: str, **options: Any) -> str:
        place = self.folder / "repos" / repo_id / (options["revision"] or "main")
        if not place.is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError(f"no {repo_id}")
        snapshot = self.folder / "cache" / "snapshots" / f"{len(self.calls)}"
        blobs = self.folder / "cache" / "blobs"
        self.calls.append(("fetched", sorted(options["allow_patterns"])))
        snapshot.mkdir(parents=True)
        blobs.mkdir(exist_ok=True)
        for file in place.iterdir():
            if any(fnmatch.fnmatch(file.name, p) for p in options["allow_patterns"]):
                blob = blobs / f"{len(self.calls)}-{file.name}"
                shutil.copyfile(file, blob)
                (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
        return str(snapshot)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    made = FolderHub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", made.HfApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


@pytest.fixture(scope="module")
def model(int_data: recae.Interactions) -> recae.Recommender:
    return recae.EASE().fit(int_data)


def test_a_model_comes_back_at_its_revision(
    hub: FolderHub, model: recae.Recommender, int_data: recae.Interactions
) -> None:
    address = recae.push_to_hub(model, "me/ease", token="t")
    assert address == "https://hub.test/me/ease"
    other = recae.EASE(l2=9).fit(int_data)
    recae.push_to_hub(other, "me/ease", revision="next", private=False, message="Nine")
    assert recae.from_hub("me/ease").fingerprint() == model.fingerprint()
    found = recae.from_hub("me/ease", revision="next")
    assert found.fingerprint() == other.fingerprint()
    assert found.recommend(history=int_data, k=3).equals(other.recommend(history=int_data, k=3))
    assert hub.calls[:2] == [("token", "t"), ("create", True)]
    assert ("create", False) in hub.calls and ("message", "Nine") in hub.calls


def test_a_history_travels_only_if_asked_and_leaves_again(
    hub: FolderHub, model: recae.Recommender
) -> None:
    def names() -> set[str]:
        return {path.name for path in (hub.folder / "repos/me/ease/main").iterdir()}

    recae.push_to_hub(model, "me/ease", with_history=True)
    assert "history.parquet" in names()
    assert recae.from_hub("me/ease").history_ is not None
    recae.push_to_hub(model, "me/ease")
    assert names() == {"README.md", "config.json", "items.parquet", "model.safetensors"}
    assert recae.from_hub("me/ease").history_ is None


def test_other_fitted_objects_travel_too(hub: FolderHub) -> None:
    rows = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.2, 0.9]]
    small = recae.Autoencoder(latent=1, hidden=(2,), epochs=1).fit(rows)
    recae.push_to_hub(small, "me/small")
    assert isinstance(recae.from_hub("me/small"), recae.Autoencoder)
    with pytest.raises(ConfigError) as caught:
        recae.push_to_hub({"a": 1}, "me/x")
    assert caught.value.parameter == "model"


def test_a_repository_is_checked_like_any_folder(hub: FolderHub, model: recae.Recommender) -> None:
    recae.push_to_hub(model, "me/ease")
    place = hub.folder / "repos/me/ease/main"
    (place / "evil.py").write_text("raise SystemExit")
    (place / "weights.pkl").write_bytes(b"cos\nsystem\n")
    assert recae.from_hub("me/ease").fingerprint() == model.fingerprint()
    fetched = [*(hub.folder / "cache/snapshots").rglob("*")]
    assert not [path for path in fetched if path.suffix in (".py", ".pkl")]
    arrays = bytearray((place / "model.safetensors").read_bytes())
    arrays[-1] ^= 1
    (place / "model.safetensors").write_bytes(arrays)
    with pytest.raises(DataError, match="ease .*model.safetensors"):
        recae.from_hub("me/ease")
    (place / "config.json").unlink()
    with pytest.raises(DataError, match="config.json"):
        recae.from_hub("me/ease")


def test_mistakes_and_refusals_are_named(hub: FolderHub, model: recae.Recommender) -> None:
    for call in (
        lambda: recae.push_to_hub(model, ""),
        lambda: recae.push_to_hub(model, None),
        lambda: recae.push_to_hub(model, "me/x", private="no"),
        lambda: recae.push_to_hub(model, "me/x", with_history="no"),
        lambda: recae.push_to_hub(model, "me/x", revision=3),
        lambda: recae.from_hub(3),
        lambda: recae.from_hub("me/x", revision=""),
        lambda: recae.from_hub("me/x", version="1"),
    ):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(DownloadError, match="me/nobody"):
        recae.from_hub("me/nobody")
    hub.refuses = True
    with pytest.raises(StorageError, match="me/x"):
        recae.push_to_hub(model, "me/x")


def test_a_wrong_name_is_refused_by_the_real_library(model: recae.Recommender) -> None:
    with pytest.raises(DownloadError, match="a/b/c"):
        recae.from_hub("a/b/c")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, model: recae.Recommender) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: recae.push_to_hub(model, "a/b"), lambda: recae.from_hub("a/b")):
        with pytest.raises(ConfigError, match=r"recae\[hub\]"):
            call()
