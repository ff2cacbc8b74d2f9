"""Checkpoints: the state of a training in one file, replaced atomically after an epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from recae.errors import ConfigError, DataError, StorageError, warn
from recae.estimators.saved import write_arrays
from recae.nn import Ranks, Shard
from recae.system.files import as_path, atomic_file, plain
from recae.system.machine import __version__
from recae.training.pieces import read_pieces, write_pieces

FORMAT = 3
KEY = "recae-checkpoint"
SHARE = 0.1
"""Share of the training time that writing may take: after short epochs some are not written."""


class Resumable(Protocol):
    """The interface of a training that a checkpoint saves and restores."""

    @property
    def device(self) -> str:
        """The type of its device: cpu or cuda."""

    @property
    def finished(self) -> bool:
        """Whether no epoch follows."""

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that the next epoch depends on."""

    def progress(self) -> dict[str, Any]:
        """The epochs and counters so far, ready for JSON."""

    def put(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Restores a state that `tensors` and `progress` gave."""


class Sharded(Resumable, Protocol):
    """That of a training in several processes, each of which holds parts of some tensors."""

    def shard(self, name: str, shape: Sequence[int]) -> Shard | None:
        """The items that this process holds of a tensor with the name and the full shape."""


class Checkpoint:
    """The file of a training run.

    path: a safetensors file, about 4 times as large as the weights of a network (5 times with
    validation), or as large as the factors of users and items. run: everything that the result
    depends on, ready for JSON (model, hyperparameters, seed, fingerprints of the data). A file of
    another run is never overwritten. Before training, it raises StorageError for a path that cannot
    be written and DataError for a file that is damaged or not a checkpoint. It raises ConfigError
    for a file of another run, with the differences.

    ranks: the processes that train together. All of them read the file, and process 0 writes it. It
    is the file of one process, so that another number of processes can resume from it.
    """

    def __init__(
        self, path: str | Path, run: Mapping[str, Any], ranks: Ranks | None = None
    ) -> None:
        self.path = as_path(path)
        self.run: dict[str, Any] = json.loads(json.dumps(run, default=plain))
        self.ranks = ranks
        self.written, self.cost = float("-inf"), 0.0
        check_place(self.path)
        self.found = self._header() if self.path.exists() else None

    def resume(self, state: Resumable) -> None:
        """Restores the state in the file, if there is a file."""
        if self.found is None:
            return
        try:
            if self.ranks is None:
                tensors = load_file(self.path)
            else:
                tensors = read_pieces(self.path, cast(Sharded, state).shard)
        except (OSError, SafetensorError) as error:
            raise self._damaged(error) from error
        state.put(tensors, self.found["progress"])
        then, now = self.found["versions"], self._versions(state.device)
        if then != now:
            warn(
                "resuming a run that was started with other versions, threads or processes ("
                + _difference(then, now)
                + "): the result may differ in the last digits from an uninterrupted run"
            )

    def after_epoch(self, state: Resumable) -> None:
        """Writes the state, unless writing would take more than `SHARE` of the time."""
        started, ranks = time.perf_counter(), self.ranks
        due = state.finished or (started - self.written) * SHARE >= self.cost
        if not (due if ranks is None else ranks.told(due)):
            return
        header = {
            "format": FORMAT,
            "run": self.run,
            "versions": self._versions(state.device),
            "progress": state.progress(),
        }
        told, tensors = {KEY: json.dumps(header, default=plain)}, state.tensors()
        if ranks is not None and ranks.rank:
            write_pieces(None, tensors, cast(Sharded, state).shard, told, ranks)
            return
        with atomic_file(self.path, overwrite=True) as part:
            if ranks is None:
                write_arrays(part, tensors, told)
            else:
                write_pieces(part, tensors, cast(Sharded, state).shard, told, ranks)
        self.written = time.perf_counter()
        self.cost = self.written - started

    def _header(self) -> dict[str, Any]:
        """The header of the file. Raises ConfigError if it is of another run, with every setting
        that differs, and DataError if it is damaged."""
        try:
            with safe_open(self.path, "pt") as file:
                header: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
                found, run = header["format"], header["run"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise self._damaged(error) from error
        if found != FORMAT:
            raise DataError(
                f"the checkpoint {self.path} has format {found}; this recae {__version__} reads "
                f"format {FORMAT}: continue with the version that wrote it, or delete the file"
            )
        differ = [name for name in self.run if run.get(name) != self.run[name]]
        if differ:
            raise ConfigError(
                f"the checkpoint {self.path} is of another run: "
                + "; ".join(
                    f"{name} {_difference(run.get(name), self.run[name])}" for name in differ
                )
                + "; name another file, or delete this one to start again"
            )
        return header

    def _versions(self, device: str) -> dict[str, Any]:
        """Facts that may change the last digits of a result, but are not part of the run."""
        threads = torch.get_num_threads()
        facts = {"torch": torch.__version__, "device": device, "threads": threads}
        return facts if self.ranks is None else {**facts, "processes": self.ranks.size}

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} is not a checkpoint of recae, or is damaged ({error}); name another "
            "file, or delete this one to start again"
        )


def _difference(there: Any, here: Any) -> str:
    """The differing entries of two mappings, or both values."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        return ", ".join(
            f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in names
        )
    return f"{there!r} there, {here!r} here"


def check_place(path: Path) -> None:
    """Raises StorageError for a checkpoint that cannot be a file."""
    if not path.parent.is_dir():
        raise StorageError(f"the folder of the checkpoint {path} does not exist: create it")
    if path.is_dir():
        raise StorageError(f"the checkpoint {path} is a directory: name a file")
