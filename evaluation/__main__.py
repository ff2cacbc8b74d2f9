"""`python -m evaluation NAME [arguments]` runs a suite or a script; no NAME lists them."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Passes the arguments after the name to the script's `main`, and returns its exit code."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    of_suites, of_scripts = suites(), scripts()
    known = of_suites | of_scripts
    if name in ("-h", "--help", "list"):
        print("python -m evaluation NAME [arguments], with NAME a suite\n")
        width = max(map(len, known))
        print("\n".join(f"  {suite:<{width}}  {line}" for suite, line in of_suites.items()))
        print("\nor a script\n")
        print("\n".join(f"  {script:<{width}}  {line}" for script, line in of_scripts.items()))
        print("\npython -m evaluation.speed lists the benchmarks against other libraries")
        return 0
    asked = name.replace("-", "_")
    if asked not in known:
        near = difflib.get_close_matches(asked, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"there is no script {name}.{hint} Known: {', '.join(known)}", file=sys.stderr)
        return 2
    sys.argv[0] = f"python -m evaluation {name}"  # the program name in argparse's help
    from recae.errors import RecaeError

    try:
        if asked in of_suites:
            from evaluation.suites import run

            return run.main(asked, rest)
        code: int = importlib.import_module(modules()[asked]).main(rest)
    except RecaeError as error:
        print(f"python -m evaluation {name}: error: {error}", file=sys.stderr)
        return 1
    return code


def suites() -> dict[str, str]:
    """The names of the suites, with their titles."""
    paths = sorted((FOLDER / "suites").glob("*.toml"))
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["title"] for path in paths}


def scripts() -> dict[str, str]:
    """The names of the scripts, with the first line of their docstrings."""
    return {name: _doc(path) for name, path in sorted(_found().items())}


def modules() -> dict[str, str]:
    """The names of the scripts, with the modules that hold them."""
    return {
        name: ".".join(["evaluation", *path.relative_to(FOLDER).with_suffix("").parts])
        for name, path in _found().items()
    }


def _found() -> dict[str, Path]:
    """Maps a name to the file that defines `main`: the name of the file, or of the folder of a
    run.py."""
    found = {}
    for path in sorted(FOLDER.rglob("[!_]*.py")):
        room = path.relative_to(FOLDER).parts[0]
        if room == "speed" or path == FOLDER / "suites" / "run.py" or not _has_main(path):
            continue
        found[path.parent.name if path.stem == "run" else path.stem] = path
    return found


def _has_main(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body  # read, not imported: that is slow
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body)


def _doc(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


if __name__ == "__main__":
    raise SystemExit(main())
