"""Exports that are killed: to a folder of parts, and to a file with a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import recae
from evaluation.scale import export_faults as broken
from evaluation.scale.export_faults import EXPECTED, LISTS, MODEL
from evaluation.scale.kill import READY, Job, killed
from recae.recommend.export import run
from recae.system.progress import bar

K, USERS_AT_ONCE = 20, 8
KILLS_OF_A_FILE = 10
FILE = "lists.parquet"


def prepare(folder: Path) -> None:
    """A model, its histories (the bundled MovieLens), and its lists."""
    if not (folder / MODEL).exists():
        data = recae.load_dataset().interactions.binarised()
        recae.EASE().fit(data, progress=False).save(folder / MODEL, with_history=True)
    work(folder)
    recae.open_export(folder / LISTS).verify()
    (folder / LISTS).rename(folder / EXPECTED)


def work(folder: Path) -> None:
    """An export of some 80 parts to a folder."""
    model = recae.load(folder / MODEL, recae.Recommender)
    run.PART_USERS = USERS_AT_ONCE
    (folder / READY).touch()
    model.export(folder / LISTS, k=K, batch_size=USERS_AT_ONCE, progress=False)


def look(folder: Path) -> str:
    """How many parts there are. What is complete is whole."""
    if broken.complete(folder):
        recae.open_export(folder / LISTS).verify()
        return "complete"
    parts = broken.parts(folder)
    return f"{parts // 10 * 10:2d} or more parts" if parts else "no part"


def content(lists: Path) -> dict[str, Any]:
    """The bytes of every file, and the manifest without its time."""
    found: dict[str, Any] = {file.name: file.read_bytes() for file in lists.iterdir()}
    manifest = json.loads(found.pop("_manifest.json"))
    del manifest["created"]
    return found | {"manifest": manifest}


def compare(folder: Path) -> None:
    """An AssertionError unless every file is that of the undisturbed export."""
    assert content(folder / LISTS) == content(folder / EXPECTED)


def clear(folder: Path) -> None:
    """Removes the export."""
    shutil.rmtree(folder / LISTS, ignore_errors=True)


JOB = Job("export", prepare, work, look, broken.complete, compare, clear)


def prepare_file(folder: Path) -> None:
    """The same lists as one file."""
    prepare(folder)
    model = recae.load(folder / MODEL, recae.Recommender)
    model.export(folder / "expected.parquet", k=K, batch_size=USERS_AT_ONCE, progress=False)


def work_file(folder: Path) -> None:
    """An export to one file with a checkpoint."""
    model = recae.load(folder / MODEL, recae.Recommender)
    run.PART_USERS = USERS_AT_ONCE
    (folder / READY).touch()
    options: dict[str, Any] = {"batch_size": USERS_AT_ONCE, "checkpoint": folder / LISTS}
    model.export(folder / FILE, k=K, overwrite=True, progress=False, **options)


def done_file(folder: Path) -> bool:
    """Whether the file is there, and the checkpoint is not."""
    return (folder / FILE).exists() and not (folder / LISTS).exists()


def compare_file(folder: Path) -> None:
    """An AssertionError unless the bytes are those of an export without a checkpoint."""
    assert (folder / FILE).read_bytes() == (folder / "expected.parquet").read_bytes()


def clear_file(folder: Path) -> None:
    """Removes the file."""
    (folder / FILE).unlink()


FILE_JOB = Job("export", prepare_file, work_file, look, done_file, compare_file, clear_file)


def faults(folder: Path) -> dict[str, Any]:
    """Kills exports to a file, and breaks exports to a folder in other ways."""
    shutil.rmtree(folder / EXPECTED)
    with bar(KILLS_OF_A_FILE, "killing exports to a file", "kill", None) as shown:
        of_files = killed(FILE_JOB, folder, KILLS_OF_A_FILE, 1, shown)
    found: dict[str, Any] = {"file with a checkpoint": of_files}
    return found | {
        "full disk": broken.full_disk(folder, work, compare),
        "lost permission": broken.lost_permission(folder, work, compare),
        "three at once": broken.three_at_once(folder, work, compare),
        "damaged parts": broken.damaged_parts(folder, work, compare),
    }
