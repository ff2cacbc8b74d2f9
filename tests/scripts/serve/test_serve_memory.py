"""Memory that grows is told from memory that wavers: planted leaks, noise, and a warm start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.serve.serve_memory import trend
from recae.errors import ConfigError

HOUR, SAMPLES = 3600.0, 720


def samples(value: Callable[[float], float], noise: float = 2.0) -> list[dict[str, Any]]:
    """An hour of samples every 5 s, in MB, of a program of about 500 MB."""
    rng = np.random.default_rng(0)
    times = np.linspace(0, HOUR, SAMPLES)
    return [
        {"seconds": float(t), "heap": 500 + value(t) + float(rng.normal(0, noise))} for t in times
    ]


@pytest.mark.parametrize("rate", [10.0, 60.0, 600.0])
def test_a_planted_leak_is_found_with_its_rate(rate: float) -> None:
    found = trend(samples(lambda t: rate * t / HOUR), "heap")
    assert not found["flat"]
    low, high = found["interval"]
    assert low <= found["mb_an_hour"] <= high
    assert found["mb_an_hour"] == pytest.approx(rate, rel=0.01, abs=2.0)
    measured = found["measured_seconds"]
    assert measured == pytest.approx(0.75 * HOUR, abs=10)
    assert found["growth"] == pytest.approx(rate * measured / HOUR / found["median_mb"], abs=0.005)


@pytest.mark.parametrize(
    "value",
    [
        lambda t: 0.0,
        lambda t: 100 * min(t / 600, 1),  # caches that fill in the first ten minutes
        lambda t: 20 * np.sin(t / 40),
        lambda t: t % 60,  # what is freed every minute
        lambda t: -30 * t / HOUR,
        lambda t: 2 * t / HOUR,  # less than 1 %
    ],
)
def test_what_does_not_grow_is_flat(value: Callable[[float], float]) -> None:
    assert trend(samples(value), "heap")["flat"]


def test_a_run_that_is_too_short_says_nothing() -> None:
    with pytest.raises(ConfigError):
        trend(samples(lambda t: 0.0)[:20], "heap")
