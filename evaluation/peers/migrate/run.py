"""Runs both sides of a migration guide, and writes the differences of their outputs into it.

    python -m evaluation migrate implicit
    python -m evaluation migrate lenskit --venvs .venvs    # makes its environment on first use

The guide is `docs/migrate-from-NAME.md`: every call in its tables runs, recae's in this process,
the peer's in an environment of its own. Both work in one folder with plays.parquet: MovieLens
latest small, ratings of 4 and more, 5-core. The outputs of the two calls of a row are compared, the
last cell of the row is the result, and all of it is kept in evaluation/results/. Returns 1 if a row
that was "same" differs now.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import recae
from evaluation.kit import venvs
from evaluation.kit.harness import environment
from evaluation.kit.provenance import RESULTS, keep
from evaluation.peers.migrate.compare import compare
from evaluation.peers.migrate.side import PEER, RECAE, cells_of, run, steps_of
from recae.errors import RecaeError

DOCS = Path(__file__).parents[3] / "docs"
PEERS = ("implicit", "recbole", "lenskit", "rectools", "cornac")
SETUPS = Path(__file__).parents[2] / "speed" / "peers"
"""What RecBole needs on NumPy 2."""
TAIL = 25
"""Number of lines shown of a failed side's output."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the calls and their differences, and writes them into the guide."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--page", type=Path, help="another guide (default: that of docs/)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result")
    venvs.add_arguments(parser, [peer for peer in PEERS if peer in venvs.PEERS])
    options = parser.parse_args(argv)
    page = options.page or page_of(options.peer)
    python = sys.executable  # implicit is a dependency
    if options.peer in venvs.PEERS:
        python = venvs.python_of(options.peer, options)
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plays().to_frame().to_parquet(folder / "plays.parquet", index=False)
        here = ours(text, folder, page)
        theirs = peers(page, folder, python)
    rows = {task: compare(theirs.get(task), here.get(task)) for task in tasks(text)}
    for task, row in rows.items():
        print(f"{task:<40} {row['said']}")
    lost = [
        task
        for task, said in said_in(text).items()
        if said.startswith("same") and not rows[task]["same"]
    ]
    for task in lost:
        print(f"NO LONGER THE SAME: {task}")
    page.write_text(with_outputs(text, rows), encoding="utf-8")
    result = {"peer": version_of(options.peer), "calls": rows}
    print(f"kept in {keep(f'migrate-{options.peer}', result, options.results)}")
    return int(bool(lost))


def version_of(peer: str) -> str:
    """The requirement that the environment of a peer was made of."""
    if peer in venvs.PEERS:
        return venvs.PEERS[peer].packages[0]
    return f"{peer}=={version(peer)}"


def page_of(peer: str) -> Path:
    """The guide of a peer."""
    return DOCS / f"migrate-from-{peer}.md"


def plays() -> recae.Interactions:
    """The data of the comparisons."""
    data = recae.load_dataset("ml-latest-small").interactions
    return data.filter(min_weight=4.0, binarise=True).k_core(5, 5)


def ours(text: str, folder: Path, page: Path) -> dict[str, Any]:
    """The values of recae's side."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", recae.RecaeWarning)
            return run(text, RECAE, str(page))


def peers(page: Path, folder: Path, python: str) -> dict[str, Any]:
    """The values of the peer's side, on one thread: its process has an interpreter of its own."""
    out, script = folder / "theirs.json", Path(__file__).with_name("side.py")
    done = subprocess.run(
        [python, str(script), str(page.resolve()), str(out)],
        cwd=folder,
        env=environment(1) | {"PYTHONPATH": str(SETUPS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-TAIL:])
        raise RecaeError(f"the peer's side of {page.name} failed:\n{tail}")
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def tasks(text: str) -> list[str]:
    """The rows of a guide in which both sides have code."""
    by_side = {side: [s.task for s in steps_of(text) if s.side == side] for side in (PEER, RECAE)}
    return [task for task in by_side[PEER] if task and task in by_side[RECAE]]


def said_in(text: str) -> dict[str, str]:
    """The last cell of these rows."""
    cells = [cells_of(line) for line in text.splitlines() if line.startswith("|")]
    wanted = tasks(text)
    return {row[0]: row[-1] for row in cells if row[0] in wanted}


def with_outputs(text: str, rows: dict[str, dict[str, Any]]) -> str:
    """The guide, with what was found in the last cell of each row."""
    lines = []
    for line in text.splitlines():
        cells = cells_of(line) if line.startswith("|") else []
        if cells and cells[0] in rows:
            line = f"| {' | '.join([*cells[:-1], rows[cells[0]]['said']])} |".replace("|  |", "| |")
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
