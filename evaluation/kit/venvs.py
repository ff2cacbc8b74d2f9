"""An interpreter for each peer library, in its own virtual environment, made on first use."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recae.errors import RecaeError, unknown_option

ROOT = Path(__file__).parents[2]
MARK = "installed.txt"
"""The file that lists the content of an environment; without it, the environment is incomplete."""
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Peer:
    """The packages to install."""

    packages: tuple[str, ...]
    torch: bool = True
    """Installed first and separately, so that pip's build for this machine is used."""
    dependencies: bool = True
    """Whether pip may install more than the packages."""


PEERS = {
    # Without dependencies: the measured code does not use ray, tensorboard and plotly.
    "recbole": Peer(
        (
            "recbole==1.2.1",
            "numpy==2.4.6",
            "pandas==3.1.1",
            "scipy==1.17.1",
            "tqdm==4.70.1",
            "colorlog==6.12.0",
            "pyyaml==6.0.3",
            "tabulate==0.10.0",
            "texttable==1.7.2",
            "thop==0.1.1.post2209072238",
            "python-dateutil==4.0.0",
            "six==1.17.0",
            "colorama==0.4.6",
            "scikit-learn==1.9.1",
            "joblib==1.6.0",
            "threadpoolctl==3.8.0",
            "narwhals==2.29.0",
            "psutil==7.2.2",
            "cloudpickle==3.1.2",
            "loky==3.7.0",
            "pytz==2026.6",
            "tzdata==2026.6",
        ),
        dependencies=False,
    ),
    "lenskit": Peer(("lenskit==2025.8.1", "ray==2.60.0")),
    "rectools": Peer(("rectools==0.19.0", "pyarrow==21.0.0"), torch=False),
    "recpack": Peer(("recpack==0.3.6",)),
    "cornac": Peer(("cornac==3.0.1", "pandas==3.1.1", "pyarrow==26.0.1")),
}


def add_arguments(parser: argparse.ArgumentParser, peers: Sequence[str]) -> None:
    """--venvs, and for each peer --PEER-python."""
    group = parser.add_argument_group("peers")
    group.add_argument(
        "--venvs",
        type=Path,
        default=ROOT / ".venvs",
        help="folder of the peers' virtual environments, made on first use (default: .venvs)",
    )
    for peer in peers:
        group.add_argument(
            f"--{peer}-python", metavar="PYTHON", help=f"an interpreter that has {peer} already"
        )


def python_of(peer: str, options: argparse.Namespace) -> str:
    """The interpreter of a peer: from the options or from its environment.

    options: parsed by a parser with `add_arguments`. Raises ConfigError for a peer that is not
    listed here, RecaeError if the environment cannot be made.
    """
    if peer not in PEERS:
        raise unknown_option("peer", peer, PEERS)
    given: str | None = getattr(options, f"{peer.replace('-', '_')}_python", None)
    return given or str(make(peer, options.venvs))


def make(peer: str, folder: Path) -> Path:
    """Makes the environment of a peer under `folder` if it is missing; returns its interpreter."""
    wanted, place = PEERS[peer], folder / peer
    steps = [[TORCH]] * wanted.torch
    steps.append([*([] if wanted.dependencies else ["--no-deps"]), *wanted.packages])
    content = "".join(" ".join(step) + "\n" for step in steps)
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if (place / MARK).is_file() and (place / MARK).read_text() == content:
        return python
    if place.exists():  # incomplete, or with other versions
        shutil.rmtree(place)
    say(f"making the environment of {peer} in {place} (once; this takes some minutes)")
    try:
        _run(peer, [sys.executable, "-m", "venv", str(place)])
        for step in steps:
            say(f"installing {' '.join(step)}")
            quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run(peer, [str(python), *quiet, *step])
        (place / MARK).write_text(content)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return python


def say(line: str) -> None:
    """Prints to stderr, to keep stdout for results."""
    print(line, file=sys.stderr, flush=True)


def _run(peer: str, command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise RecaeError(
            f"{peer} could not be installed; --{peer}-python takes an interpreter that has it. "
            f"Output of {' '.join(command)}:\n{tail}"
        )
