"""Runs in MLflow, written through its client alone: no active run and no tracking URI is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recae.errors import explained
from recae.metrics import AnyMetric
from recae.mlflow import library, write_pyfunc
from recae.recommend import Recommender
from recae.tracking.store import Store, as_text, check_text
from recae.training import Job, Result
from recae.training.jobs import FAILED, INTERRUPTED

AT_ONCE, LONGEST = 100, 6000
"""Parameters that MLflow takes in one call, and the characters of one."""

STATUS = {FAILED: "FAILED", INTERRUPTED: "KILLED"}


@explained
class MLflow(Store):
    """Writes fits and searches to an experiment of MLflow, for `fit(callbacks=...)`.

    experiment: its name; made if it is missing. uri: of the tracking store, such as
    "sqlite:///runs.db" or "http://server:5000"; None takes what MLflow is set to. metrics, model:
    as in `recae.tracking.Store`. The model is a pyfunc, which
    `recae.mlflow.load_model("runs:/RUN/model")` reads.

    Needs MLflow (`pip install "recae[mlflow]"`). Raises ConfigError without it and for a bad
    option; the first fit raises StorageError if MLflow cannot be reached.

    >>> tracker = recae.tracking.MLflow("plays", uri="sqlite:///runs.db")  # doctest: +SKIP
    >>> recae.EASE().fit(data, callbacks=tracker)  # doctest: +SKIP
    """

    def __init__(
        self,
        experiment: str,
        *,
        uri: str | None = None,
        metrics: AnyMetric | Sequence[AnyMetric] = ("ndcg@100",),
        model: bool = True,
    ) -> None:
        super().__init__(metrics=metrics, model=model)
        self.experiment = check_text("experiment", experiment)
        self.uri = None if uri is None else check_text("uri", uri)
        library()
        self._client: Any = None

    def _begin(self, job: Job, parent: Any) -> str:
        """Starts a run, in an experiment that is made if need be, and returns its id. The client's
        own run stays what it was."""
        if parent is None:
            self._client = library().MlflowClient(self.uri)
        found = self._client.get_experiment_by_name(self.experiment)
        known = self._client.create_experiment(self.experiment) if found is None else None
        tags = {"recae.kind": job.kind, "mlflow.runName": job.name}
        tags |= {f"recae.{name}": as_text(value) for name, value in job.facts.items()}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        number = known or found.experiment_id
        run: str = self._client.create_run(number, tags=tags).info.run_id
        self._params(run, job.params)
        return run

    def _params(self, run: str, params: Mapping[str, Any]) -> None:
        entities = library().entities
        pairs = [entities.Param(name, as_text(v)[:LONGEST]) for name, v in params.items()]
        for start in range(0, len(pairs), AT_ONCE):
            self._client.log_batch(run, params=pairs[start : start + AT_ONCE])

    def _metrics(self, run: str, values: Mapping[str, float], step: int) -> None:
        now = library().utils.time.get_current_time_millis()
        metric = library().entities.Metric
        self._client.log_batch(run, [metric(name, v, now, step) for name, v in values.items()])

    def _curve(self, run: str, epoch: int, values: Mapping[str, float]) -> None:
        self._metrics(run, values, epoch)

    def _write_model(self, model: Any, folder: Path) -> None:
        if isinstance(model, Recommender):
            write_pyfunc(model, folder)
        else:
            super()._write_model(model, folder)

    def _files(self, run: str, job: Job, folder: Path) -> None:
        if any(folder.iterdir()):
            self._client.log_artifacts(run, str(folder))

    def _close(self, run: str, job: Job, result: Result, values: Mapping[str, float]) -> None:
        try:
            self._metrics(run, values, 0)
            self._params(run, result.params)
            self._client.set_tag(run, "recae.state", result.state)
            if result.reason:
                self._client.set_tag(run, "recae.reason", result.reason)
        finally:
            self._client.set_terminated(run, STATUS.get(result.state, "FINISHED"))
