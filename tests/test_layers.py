"""The arrows between the layers, read from the source: imports point downwards only."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# Low to high. A file or package of recae/ may import from lower lines only; the members of a line
# do not know of each other.
LAYERS = (
    ("errors", "version"),
    ("exchange", "forks", "machine", "progress", "rng"),
    ("files",),
    ("saved",),
    ("data", "memory", "nn", "selection"),
    ("folds", "objective", "ranking"),
    ("metrics", "splits", "training"),
    ("recommender",),
    ("evaluate", "models", "rmse", "transformers"),
    ("compare", "export", "loading", "tune"),
    ("report",),
    ("anomaly", "compress", "generate", "maps", "steer"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

# Methods that only forward to a function of a higher layer, imported when they are called.
FORWARDING = {("recae.recommender.base", "recae.export")}
# Imports that only a type checker sees.
TYPING = {
    ("recae.data.filters", "recae.data.interactions"),
    ("recae.recommender.persistence", "recae.recommender.base"),
    ("recae.steer.describing", "recae.steer.tastes"),
}
NOT_OURS = {"tests", "evaluation", "datasets"}


class Import(NamedTuple):
    """An arrow between two modules; where is "module", "function" or "typing"."""

    importer: str
    target: str
    where: str


class Reader(ast.NodeVisitor):
    """Collects the imports of one module, with the place they stand in."""

    def __init__(self, importer: str, modules: set[str]) -> None:
        self.importer, self.modules, self.where = importer, modules, "module"
        self.found: list[Import] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._inside("function", node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        typing_only = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self._inside("typing" if typing_only else self.where, node.body)
        self._inside(self.where, node.orelse)

    def _inside(self, where: str, body: list[ast.stmt]) -> None:
        outside, self.where = self.where, where
        for statement in body:
            self.visit(statement)
        self.where = outside

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = node.module or ""
        if node.level:
            is_package = any(name.startswith(f"{self.importer}.") for name in self.modules)
            package = self.importer if is_package else self.importer.rpartition(".")[0]
            source = importlib.util.resolve_name("." * node.level + source, package)
        for alias in node.names:
            name = f"{source}.{alias.name}"
            self._add(name if name in self.modules else source)

    def _add(self, target: str) -> None:
        if target.partition(".")[0] in {"recae"} | NOT_OURS:
            self.found.append(Import(self.importer, target, self.where))


def sources() -> dict[str, str]:
    """Module name -> source, for everything in recae/."""
    found = {}
    for path in sorted((ROOT / "recae").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imports(modules: dict[str, str]) -> list[Import]:
    found = []
    for name, source in modules.items():
        reader = Reader(name, set(modules))
        reader.visit(ast.parse(source))
        found += reader.found
    return found


def package(module: str) -> str:
    """The file or package of recae/ that a module belongs to: `data` for recae.data.table."""
    return module.split(".")[1] if "." in module else "__init__"


def violations(arrows: list[Import]) -> list[str]:
    """What is wrong with these imports; nothing if all is well."""
    found = []
    for importer, target, where in arrows:
        high, low = package(importer), package(target)
        arrow = f"{importer} imports {target}"
        if target.partition(".")[0] in NOT_OURS:
            found.append(f"{arrow}, which is not part of the package")
        elif high not in HEIGHT or low not in HEIGHT:
            found.append(f"{arrow}: one of them has no place in LAYERS")
        elif high == low == "models" and importer != "recae.models":
            found.append(f"{arrow}: models do not know each other")
        elif high == "nn" and low not in ("nn", "errors", "rng"):
            found.append(f"{arrow}: networks know nothing of recae")
        elif high != low and HEIGHT[low] >= HEIGHT[high]:
            listed = {"function": FORWARDING, "typing": TYPING}.get(where, set())
            if (importer, target) not in listed:
                found.append(f"{arrow}, which is not in a lower layer")
    return found + loops(arrows)


def loops(arrows: list[Import]) -> list[str]:
    """Files that import each other when they are loaded."""
    graph: dict[str, set[str]] = {}
    for importer, target, where in arrows:
        if where == "module":
            graph.setdefault(importer, set()).add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"import loop: {' <- '.join(error.args[1])}"]
    return []


def test_imports_point_downwards() -> None:
    found = imports(sources())
    assert len(found) > 100  # the reader does read
    assert violations(found) == []


def test_the_listed_exceptions_are_those_in_the_code() -> None:
    found = imports(sources())
    upwards = {
        (importer, target)
        for importer, target, where in found
        if where == "function" and HEIGHT[package(target)] > HEIGHT[package(importer)]
    }
    assert upwards == FORWARDING
    assert {arrow[:2] for arrow in found if arrow.where == "typing"} == TYPING


def test_every_layer_is_there() -> None:
    here = {path.stem for path in (ROOT / "recae").iterdir() if path.suffix == ".py"}
    here |= {path.parent.name for path in (ROOT / "recae").glob("*/__init__.py")}
    assert here == set(HEIGHT)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("recae.data.table", "from recae.models import EASE", "not in a lower layer"),
        ("recae.nn.heads", "from recae.data import Interactions", "networks know nothing"),
        ("recae.nn.heads", "import recae.files", "networks know nothing"),
        ("recae.models.ease", "def f():\n    from recae.models import als", "models do not know"),
        ("recae.models.ease", "from recae.evaluate import evaluate", "not in a lower layer"),
        ("recae.models.ease", "def f():\n    import recae", "not in a lower layer"),
        ("recae.rng", "if True:\n    from recae.files import atomic_file", "not in a lower layer"),
        ("recae.files", "from . import memory", "not in a lower layer"),
        ("recae.data.ids", "from recae.data.idmap import IdMap", "import loop"),
        ("recae.data.ids", "from . import IdMap", "import loop"),
        ("recae.cli.fit", "from evaluation.demo import main", "not part of the package"),
        ("recae.novelty", "from recae.errors import DataError", "no place in LAYERS"),
        (
            "recae.training.loop",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import recae.models",
            "not in a lower layer",
        ),
    ],
)
def test_a_planted_import_is_reported(module: str, source: str, complaint: str) -> None:
    planted = sources()
    planted[module] = f"{planted.get(module, '')}\n{source}\n"
    assert any(complaint in found for found in violations(imports(planted)))
