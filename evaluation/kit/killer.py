"""Processes that are killed at random moments of their work."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

READY = "ready"
"""The file that a function to be killed makes in its folder when its work begins."""


class Killer:
    """Runs a function in a fresh process and kills it after a random time, unless it ends first."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(["evaluation.kit.killer", "recae"])

    def __call__(self, work: Callable[[Path], None], folder: Path, seconds: float) -> bool:
        """Whether the process was killed, at most `seconds` after it was ready."""
        (folder / READY).unlink(missing_ok=True)
        process = self.processes.Process(target=work, args=(folder,))
        process.start()
        while not (folder / READY).exists():
            if not process.is_alive():
                raise RuntimeError(f"{work.__name__} ended with {process.exitcode}")
            time.sleep(0.001)
        process.join(self.random.uniform(0, seconds))
        process.kill()  # nothing happens to one that has ended
        process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{work.__name__} ended with {process.exitcode}")
        return process.exitcode != 0
