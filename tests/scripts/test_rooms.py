"""The rooms of evaluation/: the kit imports none of them, and none imports another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evaluation import __main__ as evaluation
from evaluation.kit.house import imports, module_name

FOLDER = Path(evaluation.__file__).parent
ROOT = FOLDER.parent


def room(module: str) -> str:
    """`speed` of evaluation.speed.epoch, `applications.steering` of one of the applications."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "applications" else 1])


def test_no_room_imports_another() -> None:
    modules = {
        module_name(path.relative_to(ROOT).as_posix()): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.py")
        if path.parent != FOLDER and path.name != "__init__.py"
    }
    arrows = [
        (importer, target)
        for importer, target, _ in imports(modules)
        if target.startswith("evaluation.")
    ]
    assert len(arrows) > 50
    wrong = [(a, b) for a, b in arrows if room(b) not in (room(a), "kit")]
    assert wrong == []


def test_every_script_has_a_name_of_its_own() -> None:
    found = [
        path.parent.name if path.stem == "run" else path.stem
        for path in FOLDER.rglob("*.py")
        if "def main(argv" in path.read_text(encoding="utf-8")
        and path.name != "__main__.py"
        and path.relative_to(FOLDER).parts[0] != "speed"
    ]
    assert sorted(found) == sorted(evaluation.modules())
    assert not [name for name, count in Counter(found).items() if count > 1]
    assert not set(evaluation.suites()) & set(found)


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return evaluation.scripts()


@pytest.mark.parametrize("name", sorted(evaluation.modules()))
def test_a_script_is_listed_with_a_line_of_its_own(name: str, scripts: dict[str, str]) -> None:
    assert len(scripts[name]) > 20
