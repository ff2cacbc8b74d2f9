"""The nightly job of docs/deploy, and two nights that went well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import recae
from tests.scripts.nightly.nights import DEPLOY, House


@pytest.fixture(scope="package")
def nightly() -> Iterator[Any]:
    """The script; its pages have no charts, which take longer than such a night."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(DEPLOY)
        patched.setattr("recae.report.page.can_draw", lambda: False)
        yield import_module("nightly")


@pytest.fixture(scope="package")
def two_nights(nightly: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good nights, to be copied."""
    house = House(tmp_path_factory.mktemp("nights") / "two", nightly.main)
    house.days(5)
    assert house.run() == 0
    house.day(6)
    assert house.run() == 0
    return house.folder


@pytest.fixture
def house(two_nights: Path, nightly: Any, tmp_path: Path) -> House:
    shutil.copytree(two_nights, tmp_path / "a house, 100 %", symlinks=True)
    new = House(tmp_path / "empty", nightly.main)
    new.folder = tmp_path / "a house, 100 %"
    new.input, new.output = new.folder / "plays", new.folder / "out"
    new.job = new.folder / "job.toml"
    return new


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The history of the model and the fold of each `recae.evaluate`, as it comes."""
    found: list[tuple[Any, Any]] = []
    evaluate = recae.evaluate

    def kept(model: Any, fold: Any, *rest: Any, **more: Any) -> Any:
        found.append((model.history_, fold))
        return evaluate(model, fold, *rest, **more)

    monkeypatch.setattr(recae, "evaluate", kept)
    return found
