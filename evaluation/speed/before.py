"""Seconds and memory now, compared with those of an earlier commit, in one run.

    python -m evaluation.speed before DATA --commit v0.1 --threads 1

DATA is as for `epoch`. A side is a process with the package of one commit; their rounds alternate.
Two sides that are the same code show the noise of the machine: `--commit HEAD`. Cases:

- epoch: an epoch of `MultVAE.fit` with layers of 600, 200 and 600, batches of 500, in float32.
- first: the first fit of a process, MultDAE for an epoch on 100 users, without `import recae`; its
  memory is that of the whole process.
- ranking: 100 items each for 4,096 users, by a MultVAE of these layers.
- ease: `EASE.fit` on the 4,000 items with the most users.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import scipy.sparse as sp

from evaluation.kit.harness import alternate, arguments
from evaluation.kit.provenance import commit, machine
from evaluation.speed import given
from recae.errors import ConfigError

ROOT = Path(__file__).parents[2]
CASES = ("epoch", "first", "ranking", "ease")
ALL = ()  # it checks one change, so it is no part of `all`


def main(argv: Sequence[str] | None = None) -> int:
    """Prints both sides of each case. Nothing is kept: it is a check of a change."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--commit", required=True, help="anything that git names a commit by")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--users", type=int, help="number of users, for a dry run")
    options = parser.parse_args(argv)
    data = given.read(options.data, options.users)
    print(data, flush=True)
    print(f"{commit()} and {options.commit}, {options.threads} threads, {machine()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        trees = {"before": Path(name) / "before", "now": Path(name) / "now"}
        unpack(options.commit, trees["before"])
        trees["now"].mkdir()
        (trees["now"] / "recae").symlink_to(ROOT / "recae")
        sp.save_npz(Path(name) / "train.npz", data.matrix)
        for case in options.cases:
            print(f"{case}:", flush=True)
            script = str(Path(__file__).with_name("before_side.py"))
            sides = {
                side: [sys.executable, script, str(tree), name, case, str(options.threads)]
                for side, tree in trees.items()
            }
            # A process has only one first fit: its rounds are processes that it starts.
            warm = 0 if case == "first" else 1
            rounds = alternate(sides, options.rounds, warm, threads=options.threads)
            if case == "first":  # the memory is that of the processes that fit, imports included
                for side, answers in rounds.answers.items():
                    peak = max(answer["peak_gb"] for answer in answers)
                    rounds.memory[side] = {"peak_gb": peak, "bare_gb": 0.0}
            print(rounds.summary(), flush=True)
    return 0


def unpack(wanted: str, folder: Path) -> None:
    """Writes the package recae of a commit to a folder. Raises ConfigError if git has none."""
    command = ["git", "archive", "--format=tar", wanted, "recae"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True)
    except OSError as error:
        raise ConfigError("git is not installed, so no earlier commit can be compared") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ConfigError(f"git has no package recae of commit {wanted}: {said}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safe)


if __name__ == "__main__":
    raise SystemExit(main())
