"""Training that survives being killed: its state in one file, replaced after an epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from recae.errors import ConfigError, DataError, StorageError, warn
from recae.estimators.saved import write_arrays
from recae.system.files import as_path, atomic_file, plain
from recae.system.machine import __version__

FORMAT = 3
KEY = "recae-checkpoint"
SHARE = 0.1
"""Of the time of training that writing may take: after quick epochs not every one is written."""


class Resumable(Protocol):
    """A training as a checkpoint sees it."""

    @property
    def device(self) -> str:
        """Where it is computed: cpu or cuda."""

    @property
    def finished(self) -> bool:
        """Whether nothing is to follow."""

    def tensors(self) -> dict[str, Tensor]:
        """All that its next epoch depends on, beside what `progress` says."""

    def progress(self) -> dict[str, Any]:
        """How far it has come, ready for JSON."""

    def put(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Takes the state of another training, as `tensors` and `progress` gave it."""


class Checkpoint:
    """The file of a training run, and what run that is.

    path: a safetensors file, for a network about 4 times the size of its weights (5 with
    validation), for factors those of users and items; run: what
    decides the result, ready for JSON (model, hyperparameters, seed, fingerprints of the data).
    A file of another run is never overwritten. Raises StorageError for a path that cannot be
    written to, DataError for a file that is damaged or no checkpoint, and ConfigError for one of
    another run, naming what differs; all before any training.
    """

    def __init__(self, path: str | Path, run: Mapping[str, Any]) -> None:
        self.path = as_path(path)
        self.run: dict[str, Any] = json.loads(json.dumps(run, default=plain))
        self.written, self.cost = float("-inf"), 0.0
        if not self.path.parent.is_dir():
            raise StorageError(f"the folder of the checkpoint {path} does not exist: create it")
        if self.path.is_dir():
            raise StorageError(f"the checkpoint {path} is a directory: name a file")
        self.found = self._header() if self.path.exists() else None

    def resume(self, state: Resumable) -> None:
        """Sets a fresh state to the one in the file, if there is a file."""
        if self.found is None:
            return
        try:
            tensors = load_file(self.path)
        except (OSError, SafetensorError) as error:
            raise self._damaged(error) from error
        state.put(tensors, self.found["progress"])
        then, now = self.found["versions"], _versions(state.device)
        if then != now:
            warn(
                "resuming a run that was begun elsewhere ("
                + _difference(then, now)
                + "): the result may differ in the last digits from an undisturbed run"
            )

    def after_epoch(self, state: Resumable) -> None:
        """Writes the state, unless the last writing took too large a share of the time since."""
        started = time.perf_counter()
        if not state.finished and (started - self.written) * SHARE < self.cost:
            return
        header = {
            "format": FORMAT,
            "run": self.run,
            "versions": _versions(state.device),
            "progress": state.progress(),
        }
        with atomic_file(self.path) as part:
            write_arrays(part, state.tensors(), {KEY: json.dumps(header, default=plain)})
        self.written = time.perf_counter()
        self.cost = self.written - started

    def _header(self) -> dict[str, Any]:
        try:
            with safe_open(self.path, "pt") as file:
                header: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
                found, run = header["format"], header["run"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise self._damaged(error) from error
        if found != FORMAT:
            raise DataError(
                f"the checkpoint {self.path} has format {found}; this recae {__version__} reads "
                f"format {FORMAT}: go on with the version that wrote it, or delete the file"
            )
        differ = [name for name in self.run if run.get(name) != self.run[name]]
        if differ:
            raise ConfigError(
                f"the checkpoint {self.path} is of another run: "
                + "; ".join(
                    f"{name} {_difference(run.get(name), self.run[name])}" for name in differ
                )
                + "; name another file, or delete this one to begin anew"
            )
        return header

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} is no checkpoint of recae, or damaged ({error}); name another file, or "
            "delete this one to begin anew"
        )


def _difference(there: Any, here: Any) -> str:
    """What differs, the entries of a mapping one by one."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        return ", ".join(
            f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in names
        )
    return f"{there!r} there, {here!r} here"


def _versions(device: str) -> dict[str, Any]:
    """What may change the last digits of a result without being part of the run."""
    return {"torch": torch.__version__, "device": device, "threads": torch.get_num_threads()}
