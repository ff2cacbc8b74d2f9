"""The architecture in numbers, read from the imports: rooms, floors, arrows, circles, files, lines.

`python -m evaluation house` prints them for this tree; `--before COMMIT` adds those of a commit.
The rules themselves are in `tests/test_layers.py`, which uses this reader.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import importlib.util
import io
import subprocess
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"tests", "evaluation", "datasets"}


class Import(NamedTuple):
    """An import between two modules; where is "module", "function" or "typing"."""

    importer: str
    target: str
    where: str


class Reader(ast.NodeVisitor):
    """Collects the imports of one module and the place of each."""

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


def module_name(path: str) -> str:
    """`recae.data` for recae/data/__init__.py, `recae.data.csr` for recae/data/csr.py."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path = ROOT) -> dict[str, str]:
    """Maps the path below `root` to the source of every Python file of recae/."""
    paths = sorted((root / "recae").rglob("*.py"))
    return {p.relative_to(root).as_posix(): _text(p) for p in paths}


def _text(path: Path) -> str:
    """The source of a file, with the names that its stub lists: a lazy package imports those."""
    stub = path.with_suffix(".pyi")
    names = stub.read_text(encoding="utf-8") if stub.exists() else ""
    return path.read_text(encoding="utf-8") + names


def sources_at(commit: str) -> dict[str, str]:
    """Maps paths to sources for the tree of a commit."""
    command = ["git", "archive", commit, "recae"]
    data = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".py"):
                found[member.name] = file.read().decode("utf-8")
    return found


def imports(modules: dict[str, str]) -> list[Import]:
    """All imports between modules, given the source of each module."""
    names = frozenset(modules)
    return [found for name, source in modules.items() for found in _imports(name, source, names)]


@cache
def _imports(name: str, source: str, modules: frozenset[str]) -> list[Import]:
    reader = Reader(name, set(modules))
    reader.visit(ast.parse(source))
    return reader.found


def room(module: str) -> str:
    """The top-level package or module that contains it: `data` for recae.data.csr."""
    return module.split(".")[1] if "." in module else "__init__"


def circles(arrows: Sequence[Import]) -> list[str]:
    """Groups of files with circular imports, including imports inside functions."""
    graph: dict[str, set[str]] = {}
    for importer, target, _ in arrows:
        if importer != target:
            graph.setdefault(importer, set()).add(target)
    found = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            found.append(" <- ".join(circle))
            graph[circle[1]].discard(circle[0])
        else:
            return found


def floors(rooms: set[str], arrows: set[tuple[str, str]]) -> int:
    """The floor of each room: the longest import path below it. Rooms with circular imports share a
    floor."""
    graph: dict[str, set[str]] = {name: set() for name in rooms}
    for high, low in arrows:
        if (low, high) not in arrows:
            graph[high].add(low)
    height: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(graph).static_order():
        height[name] = 1 + max((height[low] for low in graph[name]), default=0)
    return max(height.values(), default=0)


def measure(files: dict[str, str]) -> dict[str, int]:
    """The figures of one tree."""
    modules = {module_name(path): source for path, source in files.items()}
    arrows = imports(modules)
    rooms = {room(name) for name in modules}
    between = {(room(a), room(b)) for a, b, _ in arrows if room(a) != room(b)}
    between = {(a, b) for a, b in between if b in rooms}
    return {
        "files": len(files),
        "lines": sum(source.count("\n") for source in files.values()),
        "files under 40 lines": sum(source.count("\n") < 40 for source in files.values()),
        "files over 400 lines": sum(source.count("\n") > 400 for source in files.values()),
        "rooms": len(rooms - {"__init__", "__main__"}),
        "floors": floors(rooms, between),
        "arrows between rooms": len(between),
        "circles": len(circles(arrows)),
        "imports for typing only": sum(arrow.where == "typing" for arrow in arrows),
        "imports in functions": sum(arrow.where == "function" for arrow in arrows),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation house", description=__doc__)
    parser.add_argument("--before", metavar="COMMIT", help="a commit to compare with")
    args = parser.parse_args(argv)
    after = measure(sources())
    before = measure(sources_at(args.before)) if args.before else {}
    print(f"{'':<26}{'before':>8}{'after':>8}" if before else f"{'':<26}{'now':>8}")
    for name, value in after.items():
        print(f"{name:<26}" + (f"{before[name]:>8,}" if before else "") + f"{value:>8,}")
    return 0
