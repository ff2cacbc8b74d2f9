"""A night that is killed anywhere and run again ends like one that was not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recae
from tests.scripts.nightly.nights import House

LASTING = ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir")
"""The calls by which a night changes what is on the disk, but for the content of files."""


def died_at(place: int, main: Callable[[], int]) -> int:
    """Runs main in a fork that dies, as by SIGKILL, just before the n-th of these calls; its exit
    code, 9 if it has died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == place:
                os._exit(9)
            return call(*given, **more)

        return one

    code = 1
    try:
        for name in LASTING:
            setattr(os, name, counted(getattr(os, name)))
        code = main()
    finally:
        os._exit(code)


def left_behind(house: House) -> tuple[Any, ...]:
    """What a night leaves: the versions, the model and the lists of the current one, no more."""
    current = house.output / "current"
    export = recae.open_export(current / "lists")
    export.verify()
    return (
        house.current,
        sorted(path.name for folder in (house.output, current) for path in folder.iterdir()),
        sorted(path.name for path in (house.output / "versions").iterdir()),
        recae.load(current / "model", recae.Recommender).fingerprint(),
        [part["sha256"] for part in export.manifest["parts"]],
    )


def killed_at(place: int, house: House, before: Path) -> bool:
    """A night that is killed at a place and run again; whether it got there at all. `current` must
    lead to a complete version at any time."""
    shutil.rmtree(house.output)
    shutil.copytree(before, house.output, symlinks=True)
    died = died_at(place, house.run) == 9
    left_behind(house)
    assert house.run() == 0
    return died


@pytest.fixture
def right(house: House, tmp_path: Path) -> tuple[Path, tuple[Any, ...]]:
    """The output before the night of the seventh day, and what that night leaves behind."""
    house.job.write_text("keep = 2\n" + house.job.read_text())
    house.day(7)
    before = tmp_path / "before"
    shutil.copytree(house.output, before, symlinks=True)
    assert house.run() == 0
    return before, left_behind(house)


PLACES = [30, 85, 102, 107]


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_night_is_resumed(
    place: int, house: House, right: tuple[Path, tuple[Any, ...]]
) -> None:
    assert killed_at(place, house, right[0])
    assert left_behind(house) == right[1]


@pytest.mark.slow
def test_a_night_may_be_killed_anywhere(house: House, right: tuple[Path, tuple[Any, ...]]) -> None:
    place = 1
    while killed_at(place, house, right[0]):
        assert left_behind(house) == right[1], place
        place += 1
    assert place > 50, place
    print(place)
