"""Runs in Weights & Biases, offline unless the environment or the caller says otherwise."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, check_option, explained
from recae.metrics import AnyMetric
from recae.system.files import as_path
from recae.tracking.store import MODEL, Store, check_text
from recae.training import Job, Result
from recae.training.jobs import FAILED, INTERRUPTED

MODES = ("offline", "online")
SERVICE = "WANDB_SERVICE"
"""Where child processes find the service that writes the runs of this one."""


@explained
class WandB(Store):
    """Writes fits and searches to a project of Weights & Biases, for `fit(callbacks=...)`.

    project: its name. mode: "offline" writes to the folder, which `wandb sync` uploads; "online"
    needs `wandb login`. folder: gets the subfolder `wandb`. A trial is a run of the group of its
    search. metrics, model: as in `recae.tracking.Store`. Other runs of the process stay as they
    are, and so does `wandb.run`.

    Needs wandb (`pip install "recae[wandb]"`). Raises ConfigError without it and for a bad option;
    the first fit raises StorageError if no run can be started.

    >>> tracker = recae.tracking.WandB("plays")  # doctest: +SKIP
    >>> recae.EASE().fit(data, callbacks=tracker)  # doctest: +SKIP
    """

    def __init__(
        self,
        project: str,
        *,
        mode: str = "offline",
        folder: str | Path = ".",
        metrics: AnyMetric | Sequence[AnyMetric] = ("ndcg@100",),
        model: bool = True,
    ) -> None:
        super().__init__(metrics=metrics, model=model)
        self.project = check_text("project", project)
        check_option("mode", mode, MODES)
        self.mode, self.folder = mode, as_path(folder)
        _library()

    def _begin(self, job: Job, parent: Any) -> Any:
        """Starts a run, grouped with its parent, and leaves the run of the program's own as it
        is."""
        wandb = _library()
        with _as_it_was():
            run = wandb.init(
                project=self.project,
                name=job.name,
                job_type=job.kind,
                group=None if parent is None else parent.group or parent.id,
                config={**job.params, "facts": dict(job.facts)},
                dir=str(self.folder),
                mode=self.mode,
                reinit="create_new",  # which leaves wandb.run as it is
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, save_code=False
                ),
            )
        run.define_metric("epoch")
        for part in ("train/*", "validation/*"):
            run.define_metric(part, step_metric="epoch")
        return run

    def _curve(self, run: Any, epoch: int, values: Mapping[str, float]) -> None:
        run.log({"epoch": epoch, **values})

    def _files(self, run: Any, job: Job, folder: Path) -> None:
        if not any(folder.iterdir()):
            return
        wandb = _library()
        kind = MODEL if (folder / MODEL).is_dir() else "report"
        artifact = wandb.Artifact(f"{job.name.replace(' ', '-')}-{run.id}", type=kind)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(str(file), name=file.relative_to(folder).as_posix())
        run.log_artifact(artifact)

    def _close(self, run: Any, job: Job, result: Result, values: Mapping[str, float]) -> None:
        try:
            run.summary.update({**values, "state": result.state, "reason": result.reason})
            run.config.update(result.params)
        finally:
            run.finish(exit_code=int(result.state in (FAILED, INTERRUPTED)))


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Undoes what a first run changes of the process: an environment variable and a log level."""
    logger, service = logging.getLogger("wandb"), os.environ.get(SERVICE)
    level = logger.level
    try:
        yield
    finally:
        logger.setLevel(level)
        if service is None:
            os.environ.pop(SERVICE, None)


def _library() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(
            'this tracker needs Weights & Biases: pip install "recae[wandb]"'
        ) from error
    return wandb
