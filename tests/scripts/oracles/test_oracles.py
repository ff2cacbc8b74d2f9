"""The simulations and oracles of evaluation/ run, count rightly and find a planted error."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from scipy.stats import binom

from evaluation.oracles import metrics_oracle, planted_leaks, significance, statistics_oracle
from recae.rng import numpy_generator


@pytest.mark.parametrize(
    ("hits", "verdict"), [(0, "less"), (10, "as stated"), (40, "more than stated")]
)
def test_a_rate_has_its_interval(hits: int, verdict: str) -> None:
    row = significance.rate("case", 30, "test", np.arange(200) < hits, 0.05)
    assert (row["rate"], row["verdict"]) == (hits / 200, verdict)
    low, high = row["interval"]
    # Clopper & Pearson: the rates at which as few, or as many, have a probability of 0.005.
    assert binom.cdf(hits, 200, high) == pytest.approx(0.005)
    assert low == 0 if hits == 0 else binom.sf(hits - 1, 200, low) == pytest.approx(0.005)


def test_the_shapes_have_a_mean_of_zero() -> None:
    real = numpy_generator(0).beta(1, 3, size=500)
    for name, draw in significance.shapes(real).items():
        values = draw(numpy_generator(1), 200_000)
        assert abs(values.mean()) < 5 * values.std() / np.sqrt(200_000), name


def test_the_simulation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}
    monkeypatch.setattr(significance, "keep", kept.__setitem__)
    monkeypatch.setattr(significance, "real_differences", lambda: numpy_generator(0).random(99))
    assert significance.main(["--repetitions", "8"]) == 0
    assert {"signed rank", "better"} <= {row["test"] for row in kept["significance"]["rates"]}


@pytest.mark.skipif(
    tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15),
    reason="this scipy calls the methods otherwise, and takes no exact p of ties",
)
def test_the_statistics_agree_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}
    monkeypatch.setattr(statistics_oracle, "keep", kept.__setitem__)
    statistics_oracle.main(["--cases", "15"])
    found = kept["statistics-oracle"]["differences"]
    assert {"t test", "signed rank", "all signs", "Holm"} <= set(found)
    for name, row in found.items():
        assert row["largest"] <= statistics_oracle.TOLERANCE.get(name, 1e-12), name
    monkeypatch.setattr(statistics_oracle, "holm", lambda p: p)  # uncorrected
    assert statistics_oracle.check(1, numpy_generator(0, 1))["Holm"] > 0
    nothing = {"p": np.nan, "p_mean_holm": np.nan, "detectable": np.nan}
    monkeypatch.setattr(statistics_oracle, "compared", lambda a, b: nothing)
    found = statistics_oracle.check(0, numpy_generator(0, 0))
    assert found["t test"] == found["signed rank"] == np.inf  # no number is not passed over


def test_the_metrics_agree_with_trec_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    assert metrics_oracle.main(["--cases", "30"]) == 0
    honest = metrics_oracle.written_out
    monkeypatch.setattr(metrics_oracle, "written_out", lambda r, t, k: honest(r, t, k + 1))
    assert metrics_oracle.main(["--cases", "30"]) == 1


def test_a_leak_that_must_be_refused_may_not_be_reported_only(monkeypatch, capsys) -> None:
    assert [planted_leaks.expected(name) for name in planted_leaks.LEAKS].count("refused") == 7
    monkeypatch.setattr(planted_leaks, "keep", lambda *_: None)
    monkeypatch.setattr(planted_leaks, "outcome", lambda *_: ("reported", "something"))
    assert planted_leaks.main([]) == 1
    assert "11 splits, 9 " in capsys.readouterr().out
