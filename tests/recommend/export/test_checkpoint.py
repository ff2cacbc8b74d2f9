"""Exports that are killed and resume: the same bytes, and nobody else's parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recae import EASE, ConfigError, Interactions
from recae.errors import StorageError
from recae.recommend.export import folder as folders
from recae.recommend.export import run

BATCH = 5


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.fixture(scope="module")
def model(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


@pytest.fixture(autouse=True)
def every_batch_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PART_USERS", BATCH)


def killed_after(
    monkeypatch: pytest.MonkeyPatch, model: EASE, batches: int, path: Path, **options: Any
) -> int:
    """Exports until so many batches are ranked; how many were asked for."""
    score, calls = model._score_rows, iter(range(99))

    def some(matrix: Any) -> Any:
        if next(calls) == batches:
            raise Killed
        return score(matrix)

    with monkeypatch.context() as patch:
        patch.setattr(model, "_score_rows", some)
        try:
            model.export(path, batch_size=BATCH, **({"k": 4} | options))
        except Killed:
            pass
    return next(calls)


def content(folder: Path) -> dict[str, bytes]:
    """The files of a complete export, but for its time."""
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    manifest = json.loads(found.pop("_manifest.json"))
    assert manifest.pop("created")
    return found | {"manifest": json.dumps(manifest).encode()}


@pytest.mark.parametrize("batches", [0, 1, 3, 7])
def test_a_file_resumes_to_the_same_bytes(model, tmp_path, monkeypatch, capsys, batches) -> None:
    whole, path, folder = tmp_path / "whole.parquet", tmp_path / "top.parquet", tmp_path / "parts"
    rows = model.export(whole, k=4, batch_size=BATCH)
    killed_after(monkeypatch, model, batches, path, checkpoint=folder)
    assert not path.exists()
    assert len(list(folder.glob("part-*"))) == batches
    assert capsys.readouterr().err == ""
    # 36 users in batches of 5 are 8: the rest is ranked, and nothing twice.
    assert killed_after(monkeypatch, model, 99, path, checkpoint=folder) == 8 - batches
    said = capsys.readouterr().err
    assert (f"{5 * batches} of 36" in said and str(folder) in said) == (batches > 0)
    assert path.read_bytes() == whole.read_bytes() and not folder.exists()
    again = model.export(path, k=4, checkpoint=folder, overwrite=True)
    assert again == rows  # nothing is left to go on


@pytest.mark.parametrize("batches", [0, 1, 3, 7])
def test_a_folder_resumes_to_the_same_bytes(model, tmp_path, monkeypatch, capsys, batches) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "lists"
    model.export(whole, k=4, batch_size=BATCH)
    killed_after(monkeypatch, model, batches, folder)
    assert not (folder / "_SUCCESS").exists() and not (folder / "_manifest.json").exists()
    assert killed_after(monkeypatch, model, 99, folder) == 8 - batches
    assert (f"{5 * batches} of 36" in capsys.readouterr().err) == (batches > 0)
    assert content(folder) == content(whole)


def test_a_kill_between_the_last_part_and_the_file(model, tmp_path, monkeypatch) -> None:
    path, folder = tmp_path / "top.parquet", tmp_path / "parts"

    def killed(*args: Any) -> int:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "_joined", killed)
        model.export(path, k=4, batch_size=BATCH, checkpoint=folder)
    assert killed_after(monkeypatch, model, 0, path, checkpoint=folder) == 0  # nothing is ranked
    assert len(pd.read_parquet(path)) == len(model.recommend(k=4))


@pytest.mark.parametrize("gone", ["part-00000", "part-00002", "_job.json", "_parts.jsonl"])
def test_a_kill_while_the_parts_are_deleted(model, tmp_path, monkeypatch, gone) -> None:
    whole, path, folder = tmp_path / "whole.parquet", tmp_path / "top.parquet", tmp_path / "parts"
    model.export(whole, k=4, batch_size=BATCH)

    def some(path: Path, **options: Any) -> None:
        for file in path.glob(f"{gone}*"):  # a deletion has no order that could be relied on
            file.unlink()
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("shutil.rmtree", some)
        model.export(path, k=4, batch_size=BATCH, checkpoint=folder)
    model.export(path, k=4, batch_size=BATCH, checkpoint=folder, overwrite=True)
    assert path.read_bytes() == whole.read_bytes() and not folder.exists()


@pytest.mark.parametrize("harm", ["gone", "cut", "altered"])
def test_a_damaged_part_of_an_incomplete_export_is_made_anew(
    model, tmp_path, monkeypatch, harm
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "lists"
    model.export(whole, k=4, batch_size=BATCH)
    killed_after(monkeypatch, model, 4, folder)
    part = folder / "part-00001.parquet"
    content_of_part = part.read_bytes()
    if harm == "gone":
        part.unlink()
    else:
        middle = len(content_of_part) // 2
        rest = b"" if harm == "cut" else b"X" + content_of_part[middle + 1 :]
        part.write_bytes(content_of_part[:middle] + rest)
    assert killed_after(monkeypatch, model, 99, folder) == 8 - 4 + 1
    assert content(folder) == content(whole)


def test_no_users_are_an_empty_file(model, tmp_path) -> None:
    path = tmp_path / "top.parquet"
    assert model.export(path, users=[], checkpoint=tmp_path / "parts") == 0
    assert pd.read_parquet(path).empty


@pytest.mark.parametrize(
    ("differs", "options"),
    [
        ("options.k", {"k": 5}),
        ("options.users", {"users": ["u1", "u2"]}),
        ("options.exclude_seen", {"exclude_seen": False}),
        ("options.items", {"items": ["i1", "i2"]}),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_parts_of_another_export_are_refused(
    model, tmp_path, monkeypatch, differs, options, as_file
) -> None:
    folder = tmp_path / "parts"
    where: dict[str, Any] = {"path": folder}
    if as_file:
        where = {"path": tmp_path / "top.parquet", "checkpoint": folder}
    killed_after(monkeypatch, model, 2, **where)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ConfigError, match=rf"parts .*another export.*other: .*{differs}"):
        model.export(batch_size=BATCH, **({"k": 4} | options), **where)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_parts_of_histories_that_moved_to_other_users_are_refused(
    model, tmp_path, monkeypatch
) -> None:
    histories = {user: [f"i{user}", f"i{user + 1}"] for user in range(1, 10)}
    moved = {user - 1: items for user, items in histories.items()}
    options = {"users": [*range(1, 9)]}
    killed_after(monkeypatch, model, 1, tmp_path / "lists", history=histories, **options)
    with pytest.raises(ConfigError, match=r"data\.fingerprint"):
        model.export(tmp_path / "lists", moved, k=4, batch_size=BATCH, **options)


def test_parts_of_another_model_are_refused(model, text_data, tmp_path, monkeypatch) -> None:
    killed_after(monkeypatch, model, 2, tmp_path / "lists")
    other = EASE(l2=3.5).fit(text_data)
    with pytest.raises(ConfigError, match=r"model.fingerprint, model.hyperparameters\)"):
        other.export(tmp_path / "lists", k=4, batch_size=BATCH)
    other.export(tmp_path / "lists", k=4, batch_size=BATCH, overwrite=True)
    other.export(tmp_path / "whole", k=4, batch_size=BATCH)
    assert content(tmp_path / "lists") == content(tmp_path / "whole")


def test_places_that_are_no_checkpoint(model, tmp_path) -> None:
    path, precious = tmp_path / "top.parquet", tmp_path / "precious"
    precious.mkdir()
    (precious / "letter").write_text("dear")
    (tmp_path / "file").write_text("old")
    for place, message in (
        (precious, "precious .*no export"),
        (tmp_path / "file", "file .*folder"),
        (tmp_path / "absent" / "parts", "absent.*parts"),
    ):
        with pytest.raises(StorageError, match=message):
            model.export(path, checkpoint=place)
        with pytest.raises(StorageError, match=message):
            model.export(place)
    with pytest.raises(ConfigError, match="path .*, not 7"):
        model.export(path, checkpoint=7)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        model.export(tmp_path / "lists", checkpoint=tmp_path / "parts")
    assert caught.value.parameter == "checkpoint"
    (tmp_path / "there.parquet").mkdir()
    with pytest.raises(StorageError, match="directory: .*file"):
        model.export(tmp_path / "there.parquet", checkpoint=tmp_path / "parts")
    assert not (tmp_path / "parts").exists()  # the target is looked at first
    assert [file.name for file in precious.iterdir()] == ["letter"]


def test_the_job_is_readable(model, tmp_path, monkeypatch) -> None:
    killed_after(monkeypatch, model, 1, tmp_path / "lists")
    job = json.loads((tmp_path / "lists" / folders.JOB).read_text())
    assert job["model"]["name"] == "ease" and job["options"]["k"] == 4
    assert job["model"]["hyperparameters"]["l2"] == 3.0
