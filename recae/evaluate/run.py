"""Measuring a model on a fold."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import torch

from recae.errors import DataError
from recae.evaluate.report import Report
from recae.forks import survives_fork
from recae.metrics import bootstrap_interval
from recae.recommender import Questions, Recommender, measure
from recae.splits import Fold
from recae.training import bar
from recae.version import __version__

METRICS = ("ndcg@100", "recall@20", "recall@50")


@survives_fork
def evaluate(
    model: Recommender,
    fold: Fold,
    metrics: str | Sequence[str] = METRICS,
    *,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: bool | None = None,
) -> Report:
    """Ranks the catalogue for every history of a fold and measures the lists against its targets.

    metrics: names such as "ndcg@100", see `recae.metrics`. What must not be recommended is the
    fold's mask (its history unless stated). Users without a target count in no mean of
    hits, but in novelty, popularity, coverage and gini. Memory is one
    batch of scores (`batch_size` users, which never changes a result) plus one number per user and
    metric. seed: of the bootstrap. Raises DataError if no user has a target.

    >>> split = recae.holdout_pairs(data, 0.5)
    >>> recae.evaluate(recae.EASE().fit(split.train), split.validation, "recall@4").mean
    {'recall@4': 1.0}
    """
    model._check_fitted()
    if not isinstance(fold, Fold):
        raise DataError(f"a Fold is needed, such as Split.test, not {type(fold).__name__}")
    with_target = int((np.diff(fold.target.matrix.indptr) > 0).sum())
    if not with_target:
        raise DataError("no user of this fold has a target: there is nothing to measure")
    started = time.perf_counter()
    with bar(fold.history.n_users, f"evaluating {type(model).__name__}", "user", progress) as shown:
        measured = measure(
            model._score_rows,
            Questions.of(fold, model.items_),
            metrics,
            item_counts=model.item_counts_,
            batch_size=batch_size,
            on_batch=shown.update,
        )
    seconds = time.perf_counter() - started
    per_user = pd.DataFrame(measured.per_user(), index=pd.Index(fold.target.users.ids))
    return Report(
        model=repr(model),
        per_user=per_user,
        catalogue=measured.catalogue(),
        interval={
            str(name): bootstrap_interval(values.to_numpy(), seed=seed)
            for name, values in per_user.items()
        },
        provenance={
            "users": with_target,
            "items": len(model.items_),
            "history": fold.history.fingerprint(),
            "target": fold.target.fingerprint(),
            "mask": (fold.history if fold.mask is None else fold.mask).fingerprint(),
            "bootstrap_seed": seed,
            "params": {k: v for k, v in model.get_params().items()},
            "seconds": round(seconds, 3),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        },
    )


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "recae": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
