"""What the trackers share: names of metrics, measurements, and the files of a run."""

from __future__ import annotations

import json
import math
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from recae.data.splits import Fold
from recae.errors import ConfigError, check_flag
from recae.evaluation import Report, evaluate
from recae.evaluation.report import check_report
from recae.metrics import AnyMetric, parse_metrics
from recae.recommend import Recommender
from recae.report import Entry, markdown
from recae.system.files import plain
from recae.training import Epoch, Job, Result, Tracker

MODEL = "model"
"""The folder of the saved model among the files of a run."""


class Store(Tracker):
    """A tracker that writes to a store; MLflow, TensorBoard and WandB differ in four methods.

    metrics: what a fitted model is measured by on the validation fold of its fit, if there is one;
    () for nothing. model: whether the saved model is kept with the files of the run.

    After every epoch come `train/loss`, `train/seconds` and `validation/METRIC`. At the end come
    the final metrics under their names alone, and `seconds`. As not every tool takes an @, ndcg@100
    is called ndcg_at_100. The files are the model, `report.md` and `report.json` of the measured
    model, and of a search `trials.csv`.

    >>> issubclass(recae.tracking.TensorBoard, recae.tracking.Store)
    True
    """

    def __init__(
        self, *, metrics: AnyMetric | Sequence[AnyMetric] = ("ndcg@100",), model: bool = True
    ) -> None:
        nothing = isinstance(metrics, Sequence) and not len(metrics)
        self.metrics = [] if nothing else parse_metrics(metrics)
        self.model = check_flag("model", model)
        self._open: list[tuple[Any, list[Epoch]]] = []

    def start(self, job: Job) -> None:
        """Opens a run, inside the one that is open, and writes parameters and facts. Raises
        StorageError, or what the tool raises.

        >>> job = recae.training.Job("fit", "mine", {"lr": 0.1})
        >>> recae.tracking.TensorBoard("runs").start(job)  # doctest: +SKIP
        """
        parent = self._open[-1][0] if self._open else None
        self._open.append((self._begin(job, parent), []))

    def __call__(self, epoch: Epoch) -> None:
        """Writes the losses and metrics of an epoch."""
        run, epochs = self._open[-1]
        epochs.append(epoch)
        values = {"train/loss": epoch.loss, "train/seconds": epoch.seconds}
        values |= {f"validation/{name}": value for name, value in epoch.metrics.items()}
        self._curve(run, epoch.number, written(values))

    def end(self, job: Job, result: Result) -> None:
        """Writes metrics and files, and closes the run. Raises what the tool raises.

        >>> tracker.end(job, recae.training.Result(metrics={"ndcg@10": 0.3}))  # doctest: +SKIP
        """
        run, epochs = self._open[-1]
        values: dict[str, float] = {}
        try:
            with tempfile.TemporaryDirectory(prefix="recae-") as place:
                folder = Path(place)
                report = result.report or self._measured(result)
                if report is not None:
                    values = report.mean
                    _write_report(folder, job.name, report, epochs, result.seconds)
                for name, table in result.tables.items():
                    table.to_csv(folder / f"{name}.csv", index=False)
                if result.model is not None and self.model:
                    self._write_model(result.model, folder / MODEL)
                self._files(run, job, folder)
        finally:
            self._open.pop()
            values |= {**result.metrics, "seconds": result.seconds}
            self._close(run, job, result, written(values))

    def log(self, report: Report, name: str = "test") -> Self:
        """Writes a report, such as that of a test, as a run of its own. Returns self.

        name: of the run. Raises DataError for what is no report, and StorageError if the store
        refuses it.

        >>> recae.tracking.TensorBoard("runs").log(report)  # doctest: +SKIP
        """
        check_report(report)
        facts = {name: value for name, value in report.provenance.items() if _is_simple(value)}
        job = Job("report", name, {"model": report.model}, facts)
        self.start(job)
        self.end(job, Result(report=report))
        return self

    def _measured(self, result: Result) -> Report | None:
        model, fold = result.model, result.validation
        if not self.metrics or not isinstance(model, Recommender) or not isinstance(fold, Fold):
            return None
        return evaluate(model, fold, self.metrics, progress=False)

    def _write_model(self, model: Any, folder: Path) -> None:
        model.save(folder)

    @abstractmethod
    def _begin(self, job: Job, parent: Any) -> Any:
        """Opens a run; parent: the run that is open, or None."""

    @abstractmethod
    def _curve(self, run: Any, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the values of an epoch."""

    @abstractmethod
    def _files(self, run: Any, job: Job, folder: Path) -> None:
        """Keeps what is in the folder with the run."""

    @abstractmethod
    def _close(self, run: Any, job: Job, result: Result, values: Mapping[str, float]) -> None:
        """Writes the final values and ends the run."""


def written(values: Mapping[str, float]) -> dict[str, float]:
    """The finite numbers, under names that every tool takes.

    >>> written({"ndcg@100": 0.5, "recall@5": float("nan")})
    {'ndcg_at_100': 0.5}
    """
    return {
        name.replace("@", "_at_"): float(value)
        for name, value in values.items()
        if math.isfinite(value)
    }


def as_text(value: Any) -> str:
    """A parameter as text: JSON for what is not text."""
    return value if isinstance(value, str) else json.dumps(value, default=plain)


def check_text(name: str, value: object) -> str:
    """The value. Raises ConfigError unless it is a text with something in it."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text, not {value!r}", parameter=name, value=value)
    return value


def _is_simple(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _write_report(
    folder: Path, name: str, report: Report, epochs: Sequence[Epoch], seconds: float
) -> None:
    curve = [vars(epoch) for epoch in epochs]
    entry = Entry(name, [report], fit_seconds=[seconds], epochs=curve)
    (folder / "report.md").write_text(markdown([entry], title=name), encoding="utf-8")
    report.save(folder / "report.json")
