"""Runs as files of TensorBoard: a folder for each with events, report and model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, StorageError, explained
from recae.metrics import AnyMetric
from recae.system.files import as_path
from recae.tracking.store import Store, as_text
from recae.training import Job, Result


@explained
class TensorBoard(Store):
    """Writes fits and searches for TensorBoard, for `fit(callbacks=...)`.

    folder: the one that `tensorboard --logdir FOLDER` is started with. Each run has a folder in it,
    MultVAE-1 and so on, and a trial one in that of its search. The model and the report lie beside
    the event file. Parameters are in the tab HPARAMS, and facts in TEXT. metrics, model: as in
    `recae.tracking.Store`.

    Needs TensorBoard (`pip install "recae[tensorboard]"`). Raises ConfigError without it and for a
    bad option; the first fit raises StorageError if the folder cannot be written.

    >>> tracker = recae.tracking.TensorBoard("runs")  # doctest: +SKIP
    >>> recae.EASE().fit(data, callbacks=tracker)  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        metrics: AnyMetric | Sequence[AnyMetric] = ("ndcg@100",),
        model: bool = True,
    ) -> None:
        super().__init__(metrics=metrics, model=model)
        self.folder = as_path(folder)
        _library()

    def _begin(self, job: Job, parent: Any) -> Any:
        if parent is None:
            folder = _new_folder(self.folder, job.name)
        else:
            folder = _new_folder(Path(parent.log_dir), job.name, first=job.name)
        writer = _library().SummaryWriter(str(folder))
        facts = {"kind": job.kind, **job.facts}
        rows = "".join(f"| {name} | {as_text(value)} |\n" for name, value in facts.items())
        writer.add_text("facts", f"| | |\n|---|---|\n{rows}")
        return writer

    def _curve(self, run: Any, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            run.add_scalar(name, value, epoch)
        run.flush()

    def _files(self, run: Any, job: Job, folder: Path) -> None:
        for made in folder.iterdir():
            shutil.move(made, Path(run.log_dir) / made.name)

    def _close(self, run: Any, job: Job, result: Result, values: Mapping[str, float]) -> None:
        """Writes the last values and the hyperparameters, and closes the file."""
        try:
            for name, value in values.items():
                run.add_scalar(name, value, 0)
            run.add_text("state", f"{result.state} {result.reason}".strip())
            params = {**job.params, **result.params}
            simple = {
                name: value if isinstance(value, bool | int | float | str) else as_text(value)
                for name, value in params.items()
            }
            for part in _library().summary.hparams(simple, dict(values)):
                run.file_writer.add_summary(part)
        finally:
            run.close()


def _new_folder(place: Path, name: str, first: str | None = None) -> Path:
    """A new folder for a run: its name with the next number, or `first` if that is free."""
    try:
        place.mkdir(exist_ok=True)
        for number in range(1 if first is None else 0, 1_000_000):
            found = f"{name}-{number}" if number else str(first)
            folder = place / re.sub(r"[^\w.-]+", "-", found)
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise StorageError(f"cannot make a folder in {place}: {error.strerror}") from error
    raise StorageError(f"{place} is full of runs called {name}")


def _library() -> Any:
    try:
        from torch.utils import tensorboard
    except ImportError as error:
        raise ConfigError(
            'this tracker needs TensorBoard: pip install "recae[tensorboard]"'
        ) from error
    return tensorboard
