"""Estimates time, memory and disk of a model on data, before it is fitted, from small samples."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from tqdm import tqdm

from recae.data import Interactions
from recae.errors import ConfigError, explained
from recae.rng import Stream, numpy_generator
from recae.system.memory import PeakMemory, resident
from recae.system.progress import bar

FEWEST = 256
"""Users of the first sample, and items of it where those are sampled too; more where a batch or a
rank is larger."""

GROWTH = 2.0
"""How many times as many users, and items, the next sample has."""

BUDGET = 5.0
"""Seconds that the samples of a model may take, but for the first two."""

EPOCHS = 2
"""Epochs that a sample is trained for. The first warms up, and the last is measured."""

LINEAR, SQUARE, CUBIC = (0, 1), (0, 1, 2), (0, 1, 2, 3)
"""Powers of the share with which a cost grows. Disk has a square root too: neighbours of an item
become more until there are enough."""


@explained
@dataclass(frozen=True)
class Cost:
    """What a step takes: `seconds` on the wall, the most `memory` that the process holds meanwhile,
    and what it writes to `disk`, both in bytes.

    >>> recae.Popularity().estimate(data).fit.memory > 0
    True
    """

    seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        long = self.seconds >= 60
        length = tqdm.format_interval(self.seconds) if long else f"{self.seconds:.1f} s"
        return f"{length}, {self.memory / 1e6:,.0f} MB of memory, {self.disk / 1e6:,.2f} MB of disk"


@explained
@dataclass(frozen=True)
class Estimate:
    """What a model will take on data and on this machine, from samples; see `Recommender.estimate`.

    fit: the training, and the saved model on disk. evaluate: ranking the items for every user.
    export: that and writing the lists. users: of the largest sample. epochs: how many the training
    is assumed to have, all that it may; None for a model without epochs.

    >>> estimate = recae.EASE().estimate(data)
    >>> estimate.users, estimate.epochs, estimate.fit.seconds > 0
    (5, None, True)
    """

    fit: Cost
    evaluate: Cost
    export: Cost
    users: int
    epochs: int | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON.

        >>> sorted(recae.Popularity().estimate(data).to_dict())
        ['epochs', 'evaluate', 'export', 'fit', 'users']
        """
        return asdict(self)

    def __str__(self) -> str:
        epochs = "" if self.epochs is None else f" (all {self.epochs} epochs)"
        return (
            f"fit{epochs}: {self.fit}\nevaluate: {self.evaluate}\nexport: {self.export}\n"
            f"from samples of up to {self.users:,} users"
        )


@dataclass(frozen=True)
class Sample:
    """What was measured on a share of the users, and of the items of a model whose cost is cubic.

    Seconds are those of the `fit`, of its `start`, of an `epoch`, of ranking (`evaluate`), of the
    `export`, and of it all. Memory is what the process held beyond what it held before the samples.
    Disk is in bytes.
    """

    share: float
    users: int
    fit: float
    start: float
    epoch: float
    evaluate: float
    export: float
    fit_memory: int
    evaluate_memory: int
    export_memory: int
    model_disk: int
    export_disk: int
    seconds: float


def estimated(
    model: Any,
    parts: Sequence[Any],
    data: Interactions,
    validated: int,
    k: int,
    progress: bool | None,
) -> Estimate:
    """The cost of a model, or of its parts one after the other; validated: users of validation."""
    if "minutes" in model.param_fields():
        raise ConfigError(
            f"{type(model).__name__} takes the minutes that it is given: estimate its members, or "
            "the ensemble that it found"
        )
    if [*parts] == [model]:
        return _estimated(model, data, validated, k, progress)
    found = [_estimated(part, data, validated, k, progress) for part in parts]
    held = sum(one.fit.disk for one in found)
    memory = held + max(one.fit.memory for one in found)
    ranking = sum(one.evaluate.seconds for one in found)
    writing = max(max(one.export.seconds - one.evaluate.seconds, 0.0) for one in found)
    epochs = [one.epochs for one in found if one.epochs is not None]
    return Estimate(
        Cost(sum(one.fit.seconds for one in found), memory, held),
        Cost(ranking, memory, 0),
        Cost(ranking + writing, memory, max(one.export.disk for one in found)),
        min(one.users for one in found),
        max(epochs, default=None),
    )


def _estimated(
    model: Any, data: Interactions, validated: int, k: int, progress: bool | None
) -> Estimate:
    """The cost of one model by larger and larger samples; validated: users of validation."""
    began, before, found = time.perf_counter(), resident(), list[Sample]()
    users, items = data.n_users, data.n_items
    params = model.get_params()
    fewest = max(FEWEST, *(2 * int(params.get(name) or 0) for name in ("latent", "batch_size")))
    share: float | None = min(1.0, fewest / (min(users, items) if model.cubic else users))
    epochs = params.get("epochs")
    short = model.clone()
    if epochs is not None:
        short.set_params(epochs=min(EPOCHS, epochs))
    with bar(None, f"estimating {model.name}", "sample", progress) as shown:
        while share is not None:
            part = _part(data, share, model.cubic)
            if not found:
                first, began = measured(short, part, share, k, before), time.perf_counter()
            found.append(measured(short, part, share, k, before))
            shown.update()
            share = _next(found, BUDGET - (time.perf_counter() - began))
    found.sort(key=lambda one: one.share)
    time_powers, space_powers = (CUBIC, SQUARE) if model.cubic else (LINEAR, LINEAR)

    def full(name: str, powers: Sequence[float] = time_powers) -> float:
        values = [getattr(one, name) for one in found]
        return extrapolated([one.share for one in found], values, powers)

    def cold(name: str) -> float:  # the first call of a process loads libraries, starts threads
        same = next(one for one in found if one.share == first.share)
        return float(max(getattr(first, name) - getattr(same, name), 0.0))

    evaluate = full("evaluate")
    each = full("epoch") + evaluate * validated / users
    return Estimate(
        Cost(
            full("start") + cold("fit") + (epochs or 0) * each,
            before + round(full("fit_memory", space_powers)),
            round(full("model_disk", (0.5, *space_powers))),
        ),
        Cost(evaluate + cold("evaluate"), before + round(full("evaluate_memory", space_powers)), 0),
        Cost(
            full("export") + cold("export"),
            before + round(full("export_memory", space_powers)),
            round(full("export_disk", LINEAR)),
        ),
        found[-1].users,
        epochs,
    )


def measured(model: Any, data: Interactions, share: float, k: int, before: int) -> Sample:
    """Fits a model on a sample, ranks and exports it. before: bytes held before all samples."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recae-estimate-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit, fit_memory = _timed(lambda: model.fit(data, progress=False))
            evaluate, evaluate_memory = _timed(
                lambda: model.recommend_array(data, k, on_unknown="popular")
            )
            lists, saved = Path(folder) / "lists.parquet", Path(folder) / "model"
            options: dict[str, Any] = {"on_unknown": "popular", "progress": False}
            export, export_memory = _timed(lambda: model.export(lists, data, k, **options))
            model.save(saved)
        epochs: Sequence[Any] = getattr(model, "epochs_", ())
        if epochs:
            epoch = epochs[-1].seconds
            start = max(fit - sum(one.seconds for one in epochs), 0.0)
        elif "epochs" in model.param_fields():
            epoch, start = fit / model.get_params()["epochs"], 0.0
        else:
            epoch, start = 0.0, fit
        return Sample(
            share=share,
            users=data.n_users,
            fit=fit,
            start=start,
            epoch=epoch,
            evaluate=evaluate,
            export=export,
            fit_memory=max(fit_memory - before, 0),
            evaluate_memory=max(evaluate_memory - before, 0),
            export_memory=max(export_memory - before, 0),
            model_disk=sum(file.stat().st_size for file in saved.rglob("*") if file.is_file()),
            export_disk=lists.stat().st_size,
            seconds=time.perf_counter() - began,
        )


def _next(found: Sequence[Sample], left: float) -> float | None:
    """The share of the next sample: a larger one where the time that is left allows it, or a
    smaller one if there would be but one; None if there are enough."""
    last = found[-1]
    if last.share == 1:
        return None
    if GROWTH**2 * last.seconds <= left:
        return min(1.0, GROWTH * last.share)
    return last.share / GROWTH if len(found) == 1 else None


def extrapolated(
    shares: Sequence[float], values: Sequence[float], powers: Sequence[float]
) -> float:
    """The value at share 1 of a sum of powers without negative coefficients, fitted by least
    squares of relative errors; larger samples count for more.

    >>> round(extrapolated([0.1, 0.2, 0.4], [1.3, 2.0, 3.4], (0, 1)), 6)
    7.6
    """
    x, y = np.asarray(shares), np.asarray(values, dtype=np.float64)
    if x[-1] == 1:
        return float(y[-1])
    if not y.any():
        return 0.0
    weights = x / np.maximum(y, 1e-3 * y.max())
    terms = x[:, None] ** np.asarray(powers)
    coefficients, _ = nnls(terms * weights[:, None], y * weights)
    return float(coefficients.sum())


def _part(data: Interactions, share: float, both: bool) -> Interactions:
    """A random share of the users, and of the items too for a cubic model."""
    if share == 1:
        return data
    random = numpy_generator(0, Stream.FORECAST_USERS)

    def some(count: int) -> np.ndarray:
        return np.sort(random.permutation(count)[: max(round(share * count), 1)])

    part = data.select_users(some(data.n_users))
    return part.select_items(some(data.n_items)) if both else part


def _timed(run: Callable[[], object]) -> tuple[float, int]:
    """Seconds of a call, and the most bytes that the process held."""
    started = time.perf_counter()
    with PeakMemory() as memory:
        run()
    return time.perf_counter() - started, memory.peak
