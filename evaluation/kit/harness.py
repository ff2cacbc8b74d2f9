"""Runs the sides of a benchmark alternately and compares their times."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import IO, Any

from recae.errors import ConfigError, RecaeError
from recae.system.machine import cores

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TAIL = 15
"""Number of lines shown of a failed side's stderr."""


def arguments(doc: str | None, rounds: int = 5) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark: --rounds and --threads."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="timed rounds of each side")
    parser.add_argument("--threads", type=int, default=cores(), help="of each side; default: all")
    return parser


def environment(threads: int) -> dict[str, str]:
    """The environment of a side that may use this many threads."""
    return dict(os.environ) | dict.fromkeys(THREADS, str(threads))


@dataclass
class Rounds:
    """The answers of the sides."""

    answers: dict[str, list[dict[str, Any]]]
    """For each side, one answer per round: "seconds" and any other values."""
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each side: "peak_gb" of its process, and "bare_gb", the peak after its imports."""
    against: Mapping[str, str] = field(default_factory=dict)
    """The side to divide by, if not the first; a side that maps to itself has no ratio."""

    def seconds(self, side: str) -> list[float]:
        """The seconds of each round of a side."""
        return [answer["seconds"] for answer in self.answers[side]]

    def ratios(self, side: str, to: str) -> dict[str, float]:
        """The time of a side divided by that of `to`: median, lowest, highest of the rounds."""
        pairs = zip(self.seconds(side), self.seconds(to), strict=True)
        paired = [theirs / ours for theirs, ours in pairs]
        return {"median": median(paired), "lowest": min(paired), "highest": max(paired)}

    def pairs(self) -> list[tuple[str, str]]:
        """The sides to compare, each with the side to divide by."""
        first = next(iter(self.answers))
        pairs = [(side, self.against.get(side, first)) for side in self.answers]
        return [(side, to) for side, to in pairs if side != to and to in self.answers]

    def above_bare_gb(self, side: str) -> float:
        """Peak memory above the imports."""
        return self.memory[side]["peak_gb"] - self.memory[side]["bare_gb"]

    def summary(self) -> str:
        """A line for each side, then a line for each ratio."""
        width = max(map(len, self.answers))
        lines = []
        for side in self.answers:
            some, memory = self.seconds(side), self.memory[side]
            lines.append(
                f"{side:<{width}}  median {_time(median(some))} "
                f"({_time(min(some))} to {_time(max(some))}), "
                f"peak {memory['peak_gb']:.2f} GB, {self.above_bare_gb(side):.2f} GB above imports"
            )
        for side, to in self.pairs():
            r = self.ratios(side, to)
            lines.append(
                f"{side} / {to}: {r['median']:.2f} times as long "
                f"({r['lowest']:.2f} to {r['highest']:.2f}, paired)"
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for `evaluation.kit.provenance.keep`."""
        return {
            "sides": {
                side: {
                    "median_seconds": round(median(self.seconds(side)), 6),
                    "rounds": [_rounded(answer) for answer in some],
                    **self.memory[side],
                    "above_bare_gb": round(self.above_bare_gb(side), 4),
                }
                for side, some in self.answers.items()
            },
            "ratios": {f"{a} / {b}": _rounded(self.ratios(a, b)) for a, b in self.pairs()},
        }


def alternate(
    sides: Mapping[str, Sequence[str]],
    rounds: int,
    warm: int = 1,
    threads: int | None = None,
    pause: float = 0.5,
    against: Mapping[str, str] | None = None,
) -> Rounds:
    """Starts a process for each side, and runs their rounds alternately.

    sides: the command of each, which ends in `worker.serve`. rounds: number of timed rounds. warm:
    rounds of each side before them, which are not counted. threads: of each side, through the
    environment. pause: seconds of rest before each round, in which the threads of the other side
    fall asleep. Every second round takes the sides in the opposite order. against: see `Rounds`.

    Raises ConfigError if there is nothing to do, RecaeError if a side ends too early.
    """
    if not sides or rounds < 1:
        raise ConfigError(f"nothing to measure: {len(sides)} sides, {rounds} rounds")
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(_Side(name, command, threads))
            for name, command in sides.items()
        }
        for number in range(-warm, rounds):
            order = list(running.values())[:: 1 if number % 2 == 0 else -1]
            for side in order:
                time.sleep(pause)
                found = side.ask("run")
                label = f"round {number + 1}" if number >= 0 else "warm-up"
                print(f"  {label}  {side.name}: {_time(found['seconds'])}", flush=True)
                if number >= 0:
                    side.answers.append(found)
        memory = {side.name: side.ask("end") for side in running.values()}
        answers = {side.name: side.answers for side in running.values()}
        return Rounds(answers, memory, against or {})


class _Side:
    """The process of a side. On entering the context, it waits until the side is ready."""

    def __init__(self, name: str, command: Sequence[str], threads: int | None) -> None:
        self.name, self.command = name, [str(part) for part in command]
        self.threads = threads
        self.answers: list[dict[str, Any]] = []

    def __enter__(self) -> _Side:
        self.stderr: IO[str] = tempfile.TemporaryFile("w+", errors="replace")
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                text=True,
                env=None if self.threads is None else environment(self.threads),
            )
        except OSError as error:
            self.stderr.close()
            raise ConfigError(f"{self.name} could not be started: {error}") from error
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:  # the failed side has not read a line
                pass
        self.stderr.close()

    def ask(self, command: str) -> dict[str, Any]:
        """Sends a command and returns the answer of the side."""
        assert self.process.stdin is not None
        try:
            print(command, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._dead() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                found = json.loads(line)
            except ValueError:  # output of a library before the side was ready
                continue
            if isinstance(found, dict):
                return found
        raise self._dead()

    def _dead(self) -> RecaeError:
        code = self.process.wait()
        self.stderr.seek(0)
        tail = "".join(self.stderr.readlines()[-TAIL:]).strip() or "nothing on stderr"
        command = " ".join(self.command)
        return RecaeError(f"{self.name} ended with the code {code}: {command}\n{tail}")


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.3g} ms"


def _rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in found.items()}
