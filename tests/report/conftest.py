"""Reports and entries written by hand, from which every figure can be worked out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae

DATA = {"target": "t" * 8, "history": "h" * 8, "mask": "m" * 8}


def one_report(
    values: Mapping[str, Sequence[float]],
    *,
    catalogue: Mapping[str, float] | None = None,
    interval: Mapping[str, tuple[float, float]] | None = None,
    **provenance: Any,
) -> recae.Report:
    """A report on users 1, 2, ..., all on the same data unless said otherwise."""
    frame = pd.DataFrame(dict(values))
    frame.index = pd.Index(range(1, len(frame) + 1))
    return recae.Report(
        "Model(a=1)", frame, dict(catalogue or {}), dict(interval or {}), DATA | provenance
    )


@pytest.fixture
def report() -> Callable[..., recae.Report]:
    """`one_report`."""
    return one_report


@pytest.fixture
def full() -> list[recae.Entry]:
    """Three entries of which everything is known."""
    return [full_entry(name, place) for place, name in enumerate(("best", "middle", "least"))]


def full_entry(name: str, place: int, *, seeds: int = 2, users: int = 40) -> recae.Entry:
    rng = np.random.default_rng(place)
    index = pd.Index(range(users))
    reports = []
    for _ in range(seeds):
        values = np.clip(np.linspace(0.2, 0.8, users) - 0.1 * place + rng.normal(0, 0.02), 0, 1)
        items = pd.DataFrame(
            {
                "training_users": np.arange(50, 0, -1),
                "targets": 4,
                "hits@5": np.arange(50) % 3,
                "listed@5": 4,
            }
        )
        history = pd.DataFrame({"history": np.arange(users) + 1, "targets": 2}, index=index)
        reports.append(
            recae.Report(
                f"Model(a={place})",
                pd.DataFrame({"ndcg@5": values, "recall@5": values / 2}, index=index),
                {"coverage@5": 0.2 + 0.1 * place},
                {"ndcg@5": (float(values.mean()) - 0.03, float(values.mean()) + 0.03)},
                DATA
                | {
                    "users": users,
                    "items": 50,
                    "date": f"2026-01-0{place + 1}T10:00:00+00:00",
                    "machine": "a machine",
                    "versions": {"recae": "0.1", "python": "3.11", "torch": "2.4"},
                    "params": {"a": place},
                },
                users=history,
                items=items,
            )
        )
    return recae.Entry(
        name,
        reports,
        fit_seconds=[10.0**place, 10.0**place * 3][:seeds],
        tuning_seconds=100.0 + place,
        peak_gb=1.5,
        epochs=[
            {"number": n, "loss": 1 / n, "seconds": 1.0, "metrics": {"ndcg@5": 0.1 * n}}
            for n in (1, 2, 3)
        ],
        trials=[
            {"params": {"l2": 10}, "value": 0.3, "seconds": 5.0, "state": "complete"},
            {"params": {"l2": 20}, "value": None, "seconds": 2.0, "state": "failed"},
            {"params": {"l2": 30}, "value": 0.4, "seconds": 5.0, "state": "complete"},
        ],
        published={"ndcg@5": recae.Published(0.45, "A paper, table 1", place != 1, "their split")},
        provenance={"commit": "c0ffee", "command": "by hand"},
    )


Make = Callable[..., recae.Entry]


@pytest.fixture
def make() -> Make:
    """An entry of one report with one value per user."""

    def entry(name: str, values: Sequence[float], **more: Any) -> recae.Entry:
        return recae.Entry(name, [one_report({"ndcg@5": values})], **more)

    return entry
