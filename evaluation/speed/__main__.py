"""`python -m evaluation.speed NAME [DATA] [arguments]` runs a benchmark; no NAME lists them.

`python -m evaluation.speed all DATA` runs every one at its full size, one after the other, with
DATA the folder that holds the data sets (gowalla/, ml-1m/). A benchmark is a module here that
defines `main(argv)`; its constant ALL, if it has one, holds the arguments of each of its runs.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ONCE: tuple[tuple[str, ...], ...] = ((),)
"""The default runs of a benchmark: one, without arguments."""


def main(argv: Sequence[str] | None = None) -> int:
    """Passes the arguments after the name to the benchmark's `main`, and returns its exit code."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    known = benchmarks()
    if name in ("-h", "--help", "list"):
        print("python -m evaluation.speed NAME [DATA] [arguments], or: all DATA; with NAME\n")
        width = max(map(len, known), default=0)
        print("\n".join(f"  {module:<{width}}  {line}" for module, line in known.items()))
        return 0
    module = name.replace("-", "_")
    if module == "all":
        return run_all(rest)
    if module not in known:
        near = difflib.get_close_matches(module, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"there is no benchmark {name}.{hint} Known: {', '.join(known)}", file=sys.stderr)
        return 2
    return run(module, rest)


def run(module: str, arguments: Sequence[str]) -> int:
    """Runs a benchmark. A RecaeError is printed as one line and gives exit code 1."""
    from recae.errors import RecaeError

    sys.argv[0] = f"python -m evaluation.speed {module}"  # the program name in argparse's help
    try:
        code: int = importlib.import_module(f"evaluation.speed.{module}").main(list(arguments))
    except RecaeError as error:
        print(f"{sys.argv[0]}: error: {error}", file=sys.stderr)
        return 1
    return code


def run_all(arguments: Sequence[str]) -> int:
    """Runs every benchmark. Returns 1 if one of them failed, after the others have run."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(
            "python -m evaluation.speed all DATA: DATA is the folder that holds gowalla/ and "
            f"ml-1m/, not {' '.join(arguments) or 'missing'}",
            file=sys.stderr,
        )
        return 2
    failed = []
    for module in benchmarks():
        for template in runs_of(FOLDER / f"{module}.py"):
            filled = [part.replace("DATA", arguments[0]) for part in template]
            command = " ".join([module, *filled])
            print(f"\n== {command}", flush=True)
            if run(module, filled):
                failed.append(command)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def runs_of(path: Path) -> Sequence[Sequence[str]]:
    """The arguments of each run of a benchmark in `all`; DATA stands for the folder of data."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="ALL")], value=value):
                found: Sequence[Sequence[str]] = ast.literal_eval(value)
                return found
    return ONCE


def benchmarks() -> dict[str, str]:
    """The modules in this folder that define `main`, with the first line of their docstrings."""
    found = {}
    for path in sorted(FOLDER.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))  # read, not imported: that takes seconds
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
