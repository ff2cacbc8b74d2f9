"""`python -m evaluation NAME [arguments]` runs a script of this folder; no NAME lists them."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Hands the arguments after the name to the script's `main`; returns what that returns."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    known = scripts()
    if name in ("-h", "--help"):
        print("python -m evaluation NAME [arguments], with NAME one of\n")
        width = max(map(len, known))
        print("\n".join(f"  {script:<{width}}  {line}" for script, line in known.items()))
        return 0
    module = name.replace("-", "_")
    if module not in known:
        near = difflib.get_close_matches(module, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"there is no script {name}.{hint} Known: {', '.join(known)}", file=sys.stderr)
        return 2
    sys.argv[0] = f"python -m evaluation {name}"  # what argparse calls the program in its help
    script = importlib.import_module(f"evaluation.{module}")
    from recae.errors import RecaeError  # here: the list of scripts needs no torch

    try:
        code: int = script.main(rest)
    except RecaeError as error:
        print(f"python -m evaluation {name}: error: {error}", file=sys.stderr)
        return 1
    return code


def scripts() -> dict[str, str]:
    """The modules here that define `main`, with the first line of their docstrings."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))  # read, not imported: that takes seconds
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
