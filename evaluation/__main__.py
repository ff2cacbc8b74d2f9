"""`python -m evaluation NAME [arguments]` runs a suite or a script; no NAME lists them."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Hands the arguments after the name to the script's `main`; returns what that returns."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    of_suites, of_scripts = suites(), scripts()
    known = of_suites | of_scripts
    if name in ("-h", "--help", "list"):
        print("python -m evaluation NAME [arguments], with NAME a suite\n")
        width = max(map(len, known))
        print("\n".join(f"  {suite:<{width}}  {line}" for suite, line in of_suites.items()))
        print("\nor a script\n")
        print("\n".join(f"  {script:<{width}}  {line}" for script, line in of_scripts.items()))
        print("\npython -m evaluation.speed lists the benchmarks beside other libraries")
        return 0
    module = name.replace("-", "_")
    if module not in known:
        near = difflib.get_close_matches(module, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"there is no script {name}.{hint} Known: {', '.join(known)}", file=sys.stderr)
        return 2
    sys.argv[0] = f"python -m evaluation {name}"  # what argparse calls the program in its help
    from recae.errors import RecaeError

    try:
        if module in of_suites:
            from evaluation import run_suite

            return run_suite.main(module, rest)
        code: int = importlib.import_module(f"evaluation.{module}").main(rest)
    except RecaeError as error:
        print(f"python -m evaluation {name}: error: {error}", file=sys.stderr)
        return 1
    return code


def suites() -> dict[str, str]:
    """The names of the suites, with their titles."""
    paths = sorted((Path(__file__).parent / "suites").glob("*.toml"))
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["title"] for path in paths}


def scripts() -> dict[str, str]:
    """The modules here that define `main`, with the first line of their docstrings."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))  # read, not imported: that takes seconds
        if path.stem != "run_suite" and any(
            isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
        ):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
