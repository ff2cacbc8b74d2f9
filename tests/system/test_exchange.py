"""Two directories change places, in one step where the system can."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from recae.system import exchange as module
from recae.system.exchange import exchange, undo_exchange


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "was").write_text(name)
    return tmp_path / "first", tmp_path / "second"


def were(pair: tuple[Path, Path]) -> list[str]:
    return [(path / "was").read_text() for path in pair]


@pytest.mark.parametrize("system", [True, False])
def test_each_path_holds_what_the_other_one_held(pair, monkeypatch, system) -> None:
    if not system:

        def unsupported(*paths: bytes) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr(module, "_system_exchange", unsupported)
    exchange(*pair)
    assert were(pair) == ["second", "first"]
    assert {path.name for path in pair[0].parent.iterdir()} == {"first", "second"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it may take three renames")
def test_on_linux_it_is_one_step(pair, monkeypatch) -> None:
    def rename(*paths: Path) -> None:
        raise AssertionError("a rename would leave a moment without the directory")

    monkeypatch.setattr(os, "replace", rename)
    exchange(*pair)
    assert were(pair) == ["second", "first"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_refused_rename_leaves_both_as_they_were(pair, monkeypatch, failing) -> None:
    moves, move = iter(range(1, 9)), os.replace

    def replace(source: Path, target: Path) -> None:
        if next(moves) == failing:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        move(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="busy"):
        module._rename_thrice(*pair)
    assert were(pair) == ["first", "second"]


@pytest.mark.parametrize(("killed", "left"), [(2, "second"), (3, "first")])
def test_a_kill_between_the_renames_is_undone(pair, monkeypatch, killed, left) -> None:
    moves, move = iter(range(1, 9)), os.replace

    def replace(source: Path, target: Path) -> None:
        if next(moves) == killed:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", replace)
        module._rename_thrice(*pair)
    undo_exchange(*pair)
    assert (pair[1] / "was").read_text() == left
    pair[0].mkdir(exist_ok=True)
    (pair[0] / "was").write_text("third")
    module._rename_thrice(*pair)  # what the kill has left aside is not in the way
    assert were(pair) == [left, "third"]
    assert {path.name for path in pair[0].parent.iterdir()} == {"first", "second"}


def test_an_error_of_the_system_is_raised(pair) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(pair[0], pair[1] / "absent")
    assert were(pair) == ["first", "second"]
