"""Exports that are killed and go on: the same file, and nobody else's parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recae import EASE, ConfigError, DataError, Interactions
from recae.errors import StorageError
from recae.recommend import export as parts

BATCH = 5


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.fixture(scope="module")
def model(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


@pytest.fixture(autouse=True)
def every_batch_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 0)


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
            model.export(path, k=4, batch_size=BATCH, **options)
        except Killed:
            assert not path.exists()
    return next(calls)


@pytest.mark.parametrize("batches", [0, 1, 3, 7])
def test_it_goes_on_to_the_same_file(model, tmp_path, monkeypatch, capsys, batches) -> None:
    whole, path, folder = tmp_path / "whole.parquet", tmp_path / "top.parquet", tmp_path / "parts"
    rows = model.export(whole, k=4, batch_size=BATCH)
    killed_after(monkeypatch, model, batches, path, checkpoint=folder)
    assert len(list(folder.glob("0*"))) == batches
    assert capsys.readouterr().err == ""
    # 36 users in batches of 5 are 8: the rest is ranked, and nothing twice.
    assert killed_after(monkeypatch, model, 99, path, checkpoint=folder) == 8 - batches
    said = capsys.readouterr().err
    assert (f"resumed after user {5 * batches} of 36, {folder}" in said) == (batches > 0)
    assert path.read_bytes() == whole.read_bytes() and not folder.exists()
    again = model.export(path, k=4, checkpoint=folder, overwrite=True)
    assert again == rows  # nothing is left to go on


def test_what_is_ranked_but_not_written_is_ranked_again(model, tmp_path, monkeypatch) -> None:
    path, folder = tmp_path / "top.parquet", tmp_path / "parts"
    monkeypatch.setattr(parts, "SECONDS", 1e9)
    monkeypatch.setattr(parts, "ROWS", 30)  # 5 users of 4 are 20 rows
    killed_after(monkeypatch, model, 3, path, checkpoint=folder)
    assert [file.name for file in folder.glob("0*")] == ["000000000000-000000000010.parquet"]
    assert killed_after(monkeypatch, model, 99, path, checkpoint=folder) == 6
    expected = model.recommend(k=4)
    found = pd.read_parquet(path)
    assert found["item_id"].tolist() == expected["item_id"].tolist()
    assert found["user_id"].tolist() == expected["user_id"].tolist()


def test_a_kill_between_the_last_part_and_the_file(model, tmp_path, monkeypatch) -> None:
    path, folder = tmp_path / "top.parquet", tmp_path / "parts"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(parts.Parts, "tables", lambda self: (_ for _ in ()).throw(Killed()))
        model.export(path, k=4, checkpoint=folder)
    assert killed_after(monkeypatch, model, 0, path, checkpoint=folder) == 0  # nothing is ranked
    assert len(pd.read_parquet(path)) == len(model.recommend(k=4))


@pytest.mark.parametrize("gone", ["000000000000", "000000000010", "export.json"])
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


@pytest.mark.parametrize("gone", ["000000000000", "000000000005"])
def test_a_part_that_is_missing_is_told(model, tmp_path, monkeypatch, gone) -> None:
    path, folder = tmp_path / "top.parquet", tmp_path / "parts"
    killed_after(monkeypatch, model, 4, path, checkpoint=folder)
    next(folder.glob(f"{gone}-*")).unlink()
    with pytest.raises(DataError, match=rf"parts: users from {int(gone)} .*missing"):
        model.export(path, k=4, checkpoint=folder)
    assert not path.exists()


def test_no_users_are_an_empty_file(model, tmp_path) -> None:
    path = tmp_path / "top.parquet"
    assert model.export(path, users=[], checkpoint=tmp_path / "parts") == 0
    assert pd.read_parquet(path).empty


@pytest.mark.parametrize(
    ("differs", "options"),
    [
        ("k", {"k": 5}),
        ("users, histories", {"users": ["u1", "u2"]}),
        ("exclude_seen", {"exclude_seen": False}),
        ("allowed items", {"items": ["i1", "i2"]}),
    ],
)
def test_parts_of_another_export_are_refused(
    model, tmp_path, monkeypatch, differs, options
) -> None:
    path, folder = tmp_path / "top.parquet", tmp_path / "parts"
    killed_after(monkeypatch, model, 2, path, checkpoint=folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ConfigError, match=rf"parts .*another export.*other: {differs}\)"):
        model.export(path, **({"k": 4} | options), checkpoint=folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_parts_of_another_model_are_refused(model, text_data, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "parts"
    killed_after(monkeypatch, model, 2, tmp_path / "top.parquet", checkpoint=folder)
    other = EASE(l2=3.5).fit(text_data)
    with pytest.raises(ConfigError, match="other: hyperparameters, fingerprint"):
        other.export(tmp_path / "top.parquet", k=4, checkpoint=folder)


def test_places_that_are_no_checkpoint(model, tmp_path, monkeypatch) -> None:
    path, precious = tmp_path / "top.parquet", tmp_path / "precious"
    precious.mkdir()
    (precious / "letter").write_text("dear")
    (tmp_path / "file").write_text("old")
    for place, message in (
        (precious, "precious .*no checkpoint"),
        (tmp_path / "file", "file .*folder"),
        (tmp_path / "absent" / "parts", "absent.*parts"),
    ):
        with pytest.raises(StorageError, match=message):
            model.export(path, checkpoint=place)
    with pytest.raises(ConfigError, match="path .*, not 7"):
        model.export(path, checkpoint=7)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="directory: .*file"):
        model.export(tmp_path, checkpoint=tmp_path / "parts")
    assert not (tmp_path / "parts").exists()  # the target is looked at first
    assert [file.name for file in precious.iterdir()] == ["letter"]
    folder = tmp_path / "parts"
    killed_after(monkeypatch, model, 2, path, checkpoint=folder)
    (folder / "000000000005-000000000010.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="-000000000010.parquet .*damaged"):
        model.export(path, k=4, checkpoint=folder)


def test_the_job_is_readable(model, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "parts"
    killed_after(monkeypatch, model, 1, tmp_path / "top.parquet", checkpoint=folder)
    job = json.loads((folder / parts.JOB).read_text())
    assert job["model"] == "ease" and job["k"] == 4 and job["hyperparameters"]["l2"] == 3.0
