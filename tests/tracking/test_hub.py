"""Models on a hub that is a folder: uploaded, fetched at a revision, and checked like any other."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def test_a_local_folder_stands_for_a_repository(
    model: recae.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # which is not needed
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "a", str(tmp_path / "b"), "./c", Path("d")):
        assert Path(recae.push_to_hub(model, place)).name in "abcd"
        recae.push_to_hub(model, place)  # as a repository takes it twice
        assert recae.from_hub(place).fingerprint() == model.fingerprint()
    for call in (
        lambda: recae.push_to_hub(model, tmp_path / "a", revision="next"),
        lambda: recae.from_hub(tmp_path / "a", "next"),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert caught.value.parameter == "revision"
    with pytest.raises(DataError, match="nowhere"):
        recae.from_hub("./nowhere")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as the real library asks of it: repositories, files and commits."""

    files: dict[str, bytes]
    address = ""

    def log_message(self, *words: Any) -> None:
        pass

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        sums = {name: hashlib.sha1(content).hexdigest() for name, content in self.files.items()}
        if not path.startswith(("/api/models/me/ease/", "/me/ease/resolve/")):
            self.answer({"error": "none"}, 404, X_Error_Code="RepoNotFound")
        elif "/tree/" in path:
            sizes = {name: len(content) for name, content in self.files.items()}
            self.answer(
                [{"type": "file", "path": n, "size": sizes[n], "oid": sums[n]} for n in sums]
            )
        elif "/resolve/" in path:
            name = path.rpartition("/")[2]
            tag = {"ETag": f'"{sums[name]}"', "X_Repo_Commit": COMMIT}
            self.answer(self.files[name], **tag)
        else:
            siblings = [{"rfilename": name} for name in sums]
            self.answer({"id": "me/ease", "sha": COMMIT, "private": True, "siblings": siblings})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self.answer({"files": modes})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.files[line["value"]["path"]] = content
                elif line["key"] == "deletedFile":
                    del self.files[line["value"]["path"]]
            commit = f"{self.address}/me/ease/commit/{COMMIT}"
            self.answer({"commitUrl": commit, "commitOid": COMMIT})
        else:  # a new repository, or whether the card of the model is well
            self.answer({"url": f"{self.address}/me/ease", "errors": [], "warnings": []})


COMMIT = "f" * 40


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """The real library in front of a hub on the loopback."""
    Hub.files = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Hub.address = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    path = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", Hub.address)
    for module in (constants, huggingface_hub.file_download):  # old versions have it twice
        monkeypatch.setattr(
            module, "HUGGINGFACE_CO_URL_TEMPLATE", Hub.address + path, raising=False
        )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore")  # those of the library, which change with its versions
def test_the_real_library_uploads_and_fetches(
    served: type[Hub], model: recae.Recommender, int_data: recae.Interactions
) -> None:
    recae.push_to_hub(model, "me/ease", token="hf_x", with_history=True)
    assert {"history.parquet", "model.safetensors"} <= {*served.files}
    assert recae.from_hub("me/ease", token="hf_x").history_ is not None
    address = recae.push_to_hub(model, "me/ease", token="hf_x")
    assert address == f"{served.address}/me/ease"
    assert {*served.files} == {"README.md", "config.json", "items.parquet", "model.safetensors"}
    served.files["evil.py"] = b"raise SystemExit"
    found = recae.from_hub("me/ease", token="hf_x")
    assert found.recommend(history=int_data, k=3).equals(model.recommend(history=int_data, k=3))
    with pytest.raises(DownloadError, match="me/nobody"):
        recae.from_hub("me/nobody")


def test_a_wrong_name_is_refused_by_the_real_library(model: recae.Recommender) -> None:
    with pytest.raises(DownloadError, match="a/b/c"):
        recae.from_hub("a/b/c")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, model: recae.Recommender) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: recae.push_to_hub(model, "a/b"), lambda: recae.from_hub("a/b")):
        with pytest.raises(ConfigError, match=r"recae\[hub\]"):
            call()
