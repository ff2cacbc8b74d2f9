"""Lists the files of the project, one line each, with their lines of code and their purpose."""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PURPOSES = {
    ".ci/run": "what CI runs",
    ".gitignore": "files outside version control",
    "LICENSE": "MIT",
    "Makefile": "demo, test, check, clean, in a virtual environment",
    "constraints.txt": "the versions that recae is tested with",
    "pyproject.toml": "the package, its dependencies and the settings of its tools",
    "recae/py.typed": "marks the package as typed",
}
BY_SUFFIX = {
    ".json": "a result, with its provenance",
    ".parquet": "a bundled table",
    ".png": "a figure",
    ".txt": "the terms of a data set, as downloaded",
    ".toml": "a dataset card: source, licence, checksum, counts",
}
NOT_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the file tree, then the lines of code of every package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    root: Path = parser.parse_args(argv).root
    files = project_files(root)
    lines = {path: lines_of_code(root / path) for path in files}
    for folder, members in groupby(files, key=lambda path: path.parent):
        print(f"\n{folder.as_posix()}/")
        for path in members:
            print(f"  {path.name:<22}{lines[path] or '':>5}  {purpose(root / path, path)}")
    print("\nlines of code, without blank lines, comments and docstrings")
    totals: dict[str, int] = {}
    for path, count in lines.items():
        if count:
            package = "/".join(path.parent.parts[:2]) or "."
            totals[package] = totals.get(package, 0) + count
    for package, count in totals.items():
        print(f"  {package:<22}{count:>5,}")
    print(f"  {'in all':<22}{sum(totals.values()):>5,}")
    return 0


def project_files(root: Path) -> list[Path]:
    """The files that git tracks, or without git all files outside hidden folders and caches, by
    folder."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if done.returncode == 0 and done.stdout:
        found = [Path(name) for name in done.stdout.split("\0") if name]
    else:
        found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        found = [path for path in found if not any(map(_left_out, path.parts[:-1]))]
    present = [path for path in found if (root / path).is_file()]
    return sorted(present, key=lambda path: (path.parent.parts, path.name))


def _left_out(folder: str) -> bool:
    return folder.startswith(".") and folder != ".ci" or folder in ("__pycache__", "build", "dist")


def purpose(file: Path, name: Path) -> str:
    """The purpose of a file: its docstring or heading, or the known purpose of such files."""
    if name.as_posix() in PURPOSES:
        return PURPOSES[name.as_posix()]
    if file.suffix == ".py":
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        return docstring.partition("\n")[0]
    if file.suffix == ".md":
        text = file.read_text(encoding="utf-8").splitlines()
        return next((line.lstrip("# ") for line in text if line.startswith("#")), "")
    return BY_SUFFIX.get(file.suffix, "")


def lines_of_code(file: Path) -> int:
    """Number of lines with code in a Python file; 0 for any other file."""
    if file.suffix != ".py":
        return 0
    source = file.read_text(encoding="utf-8")
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE and token.type != tokenize.ENDMARKER:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        # A string statement is a docstring, of a module, function or attribute.
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            code.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


if __name__ == "__main__":
    raise SystemExit(main())
