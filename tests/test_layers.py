"""The plan of the house, read from the source: imports point to lower floors only."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path

import pytest

import recae
from evaluation.kit.house import (
    NOT_OURS,
    ROOT,
    Import,
    circles,
    imports,
    module_name,
    room,
    sources,
)

# Low to high. A room of recae/ imports from lower floors only; rooms of one floor are strangers.
FLOORS = (
    ("errors",),
    ("rng", "system", "nn"),
    ("data", "ranking", "estimators"),
    ("metrics", "training"),
    ("recommend",),
    ("evaluation", "models", "transformers"),
    ("report", "tuning"),
    ("apply",),
    ("serve", "mlflow"),
    ("scale", "tracking"),
    ("testing",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}
MOST_ROOMS, MOST_IN_A_FOLDER = 22, 25


def read() -> dict[str, str]:
    """Module name -> source."""
    return {module_name(path): source for path, source in sources().items()}


def violations(arrows: list[Import]) -> list[str]:
    """What is wrong with these imports; nothing if all is well."""
    found = []
    for importer, target, where in arrows:
        high, low = room(importer), room(target)
        arrow = f"{importer} imports {target}"
        if target.partition(".")[0] in NOT_OURS:
            found.append(f"{arrow}, which is not part of the package")
        elif high not in HEIGHT or low not in HEIGHT:
            found.append(f"{arrow}: one of them has no place in FLOORS")
        elif where == "typing":
            found.append(f"{arrow} for typing only: a circle in disguise")
        elif high == "nn" and low not in ("nn", "errors", "rng"):
            found.append(f"{arrow}: networks know nothing of recae")
        elif high != low and HEIGHT[low] >= HEIGHT[high]:
            found.append(f"{arrow}, which is not on a lower floor")
        elif high == low:
            found += strangers(importer, target)
    return found + [f"import circle: {circle}" for circle in circles(arrows)]


def strangers(importer: str, target: str) -> list[str]:
    """Model files know their family's private files only; applications do not know each other."""
    folder, _, file = importer.partition("recae.")[2].rpartition(".")
    other, _, shared = target.partition("recae.")[2].rpartition(".")
    if folder.startswith("models") and not (
        (folder == other and shared.startswith("_")) or importer == "recae.models"
    ):
        return [f"{importer} imports {target}: a model knows only the `_` files of its family"]
    if folder.startswith("apply.") and importer.split(".")[2] != target.split(".")[2]:
        return [f"{importer} imports {target}: applications do not know each other"]
    return []


def test_imports_point_downwards() -> None:
    found = imports(read())
    assert len(found) > 100  # the reader does read
    assert violations(found) == []


def entries(folder: Path) -> set[str]:
    """The names of the modules and packages of a folder."""
    files = {path.stem for path in folder.glob("*.py")}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


def test_every_room_has_its_floor() -> None:
    assert entries(ROOT / "recae") == set(HEIGHT)


def test_there_are_few_rooms_and_no_crowded_folder() -> None:
    assert len(entries(ROOT / "recae") - {"__init__", "__main__"}) <= MOST_ROOMS
    folders = {path.parent for path in (ROOT / "recae").rglob("*.py")}
    crowded = {str(f): len(entries(f)) for f in folders if len(entries(f)) > MOST_IN_A_FOLDER}
    assert crowded == {}


def test_no_package_is_named_like_a_public_function() -> None:
    packages = {path.parent.name for path in (ROOT / "recae").rglob("*/__init__.py")}
    functions = {name for name in recae.__all__ if callable(getattr(recae, name))}
    assert packages & functions == set()


@pytest.mark.parametrize(
    "stub", sorted((ROOT / "recae").rglob("__init__.pyi")), ids=lambda stub: stub.parent.name
)
def test_no_module_is_named_like_a_name_of_its_lazy_package(stub: Path) -> None:
    """To import the module would put it in the place of the name."""
    exported = re.findall(r"^from \.([\w.]+) import \w+ as (\w+)$", stub.read_text(), re.MULTILINE)
    assert len(exported) > 3
    assert {name for _, name in exported} & entries(stub.parent) == set()


def test_no_module_is_named_like_a_builtin_or_its_folder() -> None:
    taken = set(dir(builtins)) | sys.stdlib_module_names
    found = []
    for path in (ROOT / "recae").rglob("*.py"):
        if path.stem in taken - {"__main__"} or path.stem == path.parent.name:
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("recae.data.csr", "from recae.models import EASE", "not on a lower floor"),
        ("recae.nn.heads", "from recae.data import Interactions", "networks know nothing"),
        ("recae.nn.heads", "import recae.system.files", "networks know nothing"),
        ("recae.models.linear.ease", "from recae.models.factors import als", "only the `_` files"),
        ("recae.models.ensemble", "from recae.models import EASE", "only the `_` files"),
        ("recae.models.linear.ease", "from recae.evaluation import rmse", "not on a lower floor"),
        ("recae.models.linear.ease", "def f():\n    import recae", "not on a lower floor"),
        ("recae.apply.maps.page", "from recae.apply.steer import Tastes", "each other"),
        ("recae.rng", "if True:\n    from recae.system import files", "not on a lower floor"),
        ("recae.data.ids", "from recae.data.idmap import IdMap", "import circle"),
        ("recae.data.ids", "def f():\n    from . import IdMap", "import circle"),
        ("recae.cli.fit", "from evaluation.demo import main", "not part of the package"),
        ("recae.novelty", "from recae.errors import DataError", "no place in FLOORS"),
        (
            "recae.tuning.run",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import recae.models",
            "for typing only",
        ),
    ],
)
def test_a_planted_import_is_reported(module: str, source: str, complaint: str) -> None:
    planted = read()
    planted[module] = f"{planted.get(module, '')}\n{source}\n"
    assert any(complaint in found for found in violations(imports(planted)))
