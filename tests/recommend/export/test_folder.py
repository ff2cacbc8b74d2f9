"""Who may write to a folder, and what replaces what."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

import recae
from recae import EASE, ConfigError, Interactions
from recae.errors import StorageError
from recae.recommend.export import folder as folders
from recae.recommend.export import run


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.fixture(scope="module")
def model(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PART_USERS", 5)


def killed(model: EASE, path: Path, batches: int, **options: Any) -> None:
    """Ends after so many batches as a kill does: nothing is tidied up."""
    process = multiprocessing.get_context("fork").Process(
        target=_end_after, args=(model, path, batches, options)
    )
    process.start()
    process.join()
    assert process.exitcode == 9


def _end_after(model: EASE, path: Path, batches: int, options: dict[str, Any]) -> None:
    score, calls = model._score_rows, iter(range(99))

    def some(matrix: Any) -> Any:
        if next(calls) == batches:
            while not (path.parent / ".lists.new" / "_parts.jsonl").exists():
                if path.exists() and (path / "_parts.jsonl").exists():
                    break
            os._exit(9)
        return score(matrix)

    model._score_rows = some  # type: ignore[method-assign]
    model.export(path, batch_size=5, progress=False, **options)


def test_the_old_export_stays_until_the_new_one_is_complete(model, tmp_path, capsys) -> None:
    lists = tmp_path / "lists"
    model.export(lists, k=4, batch_size=5)
    before = {file.name: file.read_bytes() for file in lists.iterdir()}
    killed(model, lists, 4, k=3, overwrite=True)
    assert before.items() <= {file.name: file.read_bytes() for file in lists.iterdir()}.items()
    recae.open_export(lists).verify()
    assert {file.name for file in tmp_path.iterdir()} == {"lists", ".lists.new"}
    capsys.readouterr()
    model.export(lists, k=3, batch_size=5, overwrite=True)  # goes on with the new one
    assert " of 36" in capsys.readouterr().err
    assert recae.open_export(lists).k == 3
    recae.open_export(lists).verify()
    assert {file.name for file in tmp_path.iterdir()} == {"lists"}
    assert not list(lists.glob("*lock*")) and not list(lists.glob("_job*"))


def test_parts_of_another_job_are_deleted_with_overwrite_alone(model, tmp_path) -> None:
    lists = tmp_path / "lists"
    killed(model, lists, 3, k=4)
    with pytest.raises(ConfigError, match=r"options\.k"):
        model.export(lists, k=3, batch_size=5)
    model.export(lists, k=3, batch_size=5, overwrite=True)
    assert recae.open_export(lists).k == 3


def test_a_second_writer_is_refused(model, tmp_path, monkeypatch) -> None:
    lists, score, ranked, said = tmp_path / "lists", model._score_rows, iter(range(99)), []

    def ask_meanwhile(matrix: Any) -> Any:
        if next(ranked) == 5:
            with pytest.raises(StorageError) as caught:
                model.export(lists, k=4, batch_size=5)
            said.append(str(caught.value))
        return score(matrix)

    monkeypatch.setattr(model, "_score_rows", ask_meanwhile)
    model.export(lists, k=4, batch_size=5)
    assert str(lists) in said[0]
    recae.open_export(lists).verify()


def test_places_are_refused_before_anything_is_read(model, tmp_path, monkeypatch) -> None:
    def read(*args: Any, **options: Any) -> None:
        raise AssertionError("the histories were read")

    lists = tmp_path / "lists"
    model.export(lists, k=4, batch_size=5)
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(model, "_ruled", read)
    for place in (lists, tmp_path / "file", tmp_path / "absent" / "lists"):
        with pytest.raises(StorageError, match=place.name):
            model.export(place, k=4)
    with pytest.raises(ConfigError) as caught:
        model.export(tmp_path / "new", k=4, checkpoint=tmp_path / "parts")
    assert caught.value.parameter == "checkpoint"


def test_a_link_stays_a_link(model, tmp_path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for k in (3, 4):
        model.export(tmp_path / "link", k=k, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert recae.open_export(tmp_path / "there").k == 4


@pytest.mark.parametrize("other", ["letter", "photos/", "part-0.parquet", ".git/"])
def test_what_is_of_no_export_is_not_deleted_with_one(model, tmp_path, other) -> None:
    lists = tmp_path / "lists"
    model.export(lists, k=4, batch_size=5)
    for folder in (lists, tmp_path / "foreign"):
        folder.mkdir(exist_ok=True)
        if other.endswith("/"):
            (folder / other).mkdir()
        else:
            (folder / other).write_text("dear")
    (tmp_path / "foreign" / "_manifest.json").write_text("{}")
    for folder in (lists, tmp_path / "foreign"):
        with pytest.raises(StorageError, match=other.strip("/")):
            model.export(folder, k=3, overwrite=True)
        assert (folder / other).exists()
    recae.open_export(lists).verify()


def test_what_readers_skip_may_be_there(model, tmp_path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / ".DS_Store").write_text("")
    for k in (3, 4):
        model.export(lists, k=k, overwrite=True)
    assert recae.open_export(lists).k == 4


def test_an_interrupted_repair_can_be_repeated(model, tmp_path, monkeypatch) -> None:
    def interrupted(matrix: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "PART_USERS", 1000)  # one part: without it nothing is complete
    lists = tmp_path / "lists"
    model.export(lists, k=4)
    (lists / "part-00000.parquet").unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(model, "_score_rows", interrupted)
        model.export(lists, k=4)
    model.export(lists, k=4)
    recae.open_export(lists).verify()


def test_a_new_export_that_was_not_exchanged_is_kept(model, tmp_path, monkeypatch) -> None:
    def refused(*paths: Path) -> None:
        raise OSError(16, "Device or resource busy")

    lists = tmp_path / "lists"
    model.export(lists, k=4)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="lists.new"):
        patch.setattr(folders, "exchange", refused)
        model.export(lists, k=3, overwrite=True)
    assert recae.open_export(lists).k == 4
    monkeypatch.setattr(model, "_score_rows", refused)  # nothing is ranked again
    model.export(lists, k=3, overwrite=True)
    assert recae.open_export(lists).k == 3
    recae.open_export(lists).verify()


def test_a_torn_line_of_the_journal_is_left_out(tmp_path) -> None:
    (tmp_path / folders.JOURNAL).write_text('{"file": "a"}\n{"file": "b", "us')
    assert folders._journal(tmp_path) == [{"file": "a"}]
    assert folders._journal(tmp_path / "absent") == []


@pytest.mark.parametrize("left", ["manifest", "job"])
def test_nothing_is_left_by_a_kill_at_the_very_end(model, tmp_path, left: str) -> None:
    """After the last part: the manifest is being written, or is there and not complete."""
    lists = tmp_path / "lists"
    model.export(lists, k=4, batch_size=5)
    whole = {file.name: file.read_bytes() for file in lists.iterdir() if file.name[1:4] != "man"}
    (lists / "_SUCCESS").unlink()
    (lists / "._manifest.json.0.part").mkdir()
    (lists / "._manifest.json.0.part" / "_manifest.json").touch()
    if left == "job":
        (lists / "_job.json").touch()
        (lists / "_parts.jsonl").touch()
    model.export(lists, k=4, batch_size=5)
    names = {file.name for file in lists.iterdir()}
    assert names == {*whole, "_manifest.json"}
    assert all((lists / name).read_bytes() == content for name, content in whole.items())
