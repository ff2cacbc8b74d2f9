"""Counts the files of recae that a job uses, by tracing calls with sys.setprofile.

`python -m evaluation walks` prints, for each job, the files in which a function was called, the
functions, and the arrows (distinct calls from one file into another); `--show JOB` lists the files.
Imports are not calls, and neither are class bodies, comprehensions and generated methods.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import recae

HOME = str(Path(recae.__file__).parent)
PLAIN = {"<module>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"}


class Walk:
    """The files, functions and arrows of the code that runs inside `tracing`."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.functions: set[tuple[str, str]] = set()
        self.arrows: set[tuple[str, str]] = set()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name in PLAIN or not code.co_filename.startswith(HOME):
            return
        if code.co_name and code.co_flags & 0x2 == 0:  # a class body has no fast locals
            return
        file = code.co_filename[len(HOME) + 1 :]
        self.files[file] = self.files.get(file, 0) + 1
        self.functions.add((file, code.co_qualname))
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(HOME):
            caller = caller.f_back
        if caller is not None:
            origin = caller.f_code.co_filename[len(HOME) + 1 :]
            if origin != file:
                self.arrows.add((origin, file))

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def jobs(folder: Path) -> dict[str, Callable[[], object]]:
    """The jobs to trace, in an order in which they can run."""
    from recae import cli

    data = recae.load_dataset("ml-latest-small").interactions
    split = recae.StrongGeneralization().split(data, seed=0)
    table = folder / "plays.parquet"
    data.to_frame().to_parquet(table)
    vae = recae.MultVAE(latent=8, hidden=(16,), epochs=2)
    ease = recae.EASE()
    saved = folder / "model"
    command = ["fit", str(table), str(folder / "fitted"), "--model", "mult-vae", "--quiet"]
    command += ["--set", "latent=8", "--set", "hidden=16", "--set", "epochs=2"]

    def fit_command() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(command)
        assert code == 0, code

    return {
        "read_parquet": lambda: recae.read_parquet(table),
        "split": lambda: recae.StrongGeneralization().split(data, seed=0),
        "EASE.fit": lambda: ease.fit(split.train),
        "MultVAE.fit with validation": lambda: vae.fit(split.train, split.validation),
        "EASE.recommend": lambda: ease.recommend(history=split.test.history, k=5, overwrite=True),
        "MultVAE.recommend": lambda: vae.recommend(history=split.test.history, k=5, overwrite=True),
        "evaluate": lambda: recae.evaluate(vae, split.test),
        "export": lambda: vae.export(
            folder / "top.parquet", split.test.history, k=5, overwrite=True
        ),
        "save": lambda: vae.save(saved),
        "load": lambda: recae.load(saved),
        "recae fit": fit_command,
    }


def walks() -> dict[str, Walk]:
    """Runs every job once under the trace."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, job in jobs(Path(folder)).items():
            found[name] = Walk()
            with found[name].tracing():
                job()
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation walks", description=__doc__)
    parser.add_argument("--show", metavar="JOB", help="list the files of a job, by calls")
    args = parser.parse_args(argv)
    found = walks()
    print(f"{'':<30}{'files':>7}{'functions':>11}{'arrows':>8}")
    for name, walk in found.items():
        print(f"{name:<30}{len(walk.files):>7}{len(walk.functions):>11}{len(walk.arrows):>8}")
        if args.show == name:
            for file, calls in sorted(walk.files.items()):
                print(f"    {file:<50}{calls:>8}")
    own = [f"{c.__module__}.{c.__name__}" for c in recae.MultVAE.__mro__ if "recae" in c.__module__]
    print("MRO of MultVAE: " + " -> ".join(own))
    return 0
