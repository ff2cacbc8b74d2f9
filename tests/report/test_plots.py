"""The PNG plots of entries."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recae import ConfigError, DataError
from recae.errors import StorageError
from recae.report import (
    Entry,
    charts,
    plot_accuracy_against_time,
    plot_by_history,
    plot_comparison,
    plot_curves,
)


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The axes of each plot, as they are written."""
    seen = []
    make = charts.canvas

    def canvas(*size: float, **options: object):
        figure, axes = make(*size, **options)
        seen.append(axes)
        return figure, axes

    monkeypatch.setattr(charts, "canvas", canvas)
    return seen


def is_png(path: Path) -> bool:
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_accuracy_against_time(full: list[Entry], tmp_path: Path, drawn: list) -> None:
    entries = [*full, replace(full[0], name="timeless", fit_seconds=())]
    path = plot_accuracy_against_time(entries, "ndcg@5", str(tmp_path / "a.png"))
    assert path == tmp_path / "a.png" and is_png(path)
    (axes,) = drawn
    points = np.array([line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"])
    # The medians of (1, 3), (10, 30) and (100, 300) seconds.
    assert points[:, 0].tolist() == [2.0, 20.0, 200.0] and axes.get_xscale() == "log"
    assert points[:, 1].tolist() == [entry.value("ndcg@5") for entry in full]
    assert [text.get_text() for text in axes.texts] == ["best", "middle", "least"]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)


def test_by_history(full: list[Entry], tmp_path: Path, drawn: list) -> None:
    assert is_png(plot_by_history(full, "ndcg@5", tmp_path / "a.png"))
    (axes,) = drawn
    # 40 users with histories of 1, 2, ..., 40 items in five equal bins.
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1–8", "9–16", "17–24", "25–32", "33–40"]
    values = full[0].reports[0].per_user["ndcg@5"].to_numpy().reshape(5, 8).mean(axis=1)
    assert axes.lines[0].get_ydata() == pytest.approx(values)
    assert {text.get_text() for text in axes.texts} == {"best", "middle", "least"}


def test_curves(full: list[Entry], tmp_path: Path, drawn: list) -> None:
    epochs = [{"number": n, "metrics": {"loss@1": -n, "ndcg@5": None}} for n in (1, 2)]
    entries = [*full[:2], replace(full[2], epochs=epochs)]
    assert is_png(plot_curves(entries, tmp_path / "a.png"))
    assert drawn[0].lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.2], [3, 0.1 * 3]]
    assert [text.get_text() for text in drawn[0].texts] == ["best", "middle"]
    plot_curves(entries, tmp_path / "b.png", metric="loss@1")
    assert drawn[1].lines[0].get_ydata().tolist() == [-1, -2]
    with pytest.raises(ConfigError, match="metric .*epochs 'ndgc@5'"):
        plot_curves(entries, tmp_path / "c.png", metric="ndgc@5")


def test_nothing_to_draw(make, tmp_path: Path) -> None:
    entries = [make("a", [0.5, 0.7])]
    with pytest.raises(ConfigError, match="no entry .*ndcg@5"):
        plot_accuracy_against_time(entries, "ndcg@5", tmp_path / "a.png")
    with pytest.raises(DataError, match="no entry .*ndcg@5 .*histor.*evaluate"):
        plot_by_history(entries, "ndcg@5", tmp_path / "a.png")
    with pytest.raises(ConfigError, match="no entry .*epochs"):
        plot_curves(entries, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_names_are_no_formulas(full: list[Entry], tmp_path: Path, drawn: list) -> None:
    entries = [replace(entry, name=rf"$\{entry.name}$ {n}") for n, entry in enumerate(full)]
    plot_accuracy_against_time(entries, "ndcg@5", tmp_path / "a.png")
    plot_by_history(entries, "ndcg@5", tmp_path / "b.png")
    plot_curves(entries, tmp_path / "c.png")
    reports = {entry.name: entry.reports[0] for entry in entries}
    plot_comparison(reports, "ndcg@5", tmp_path / "d.png")
    assert all(is_png(path) for path in tmp_path.iterdir())


def test_mistakes(full: list[Entry], tmp_path: Path, monkeypatch) -> None:
    calls = (
        lambda metric, path: plot_accuracy_against_time(full, metric, path),
        lambda metric, path: plot_by_history(full, metric, path),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="metric .*entries 'ndcg@6'"):
            call("ndcg@6", tmp_path / "a.png")
        with pytest.raises(StorageError, match="absent .*exist"):
            call("ndcg@5", tmp_path / "absent" / "a.png")
    with pytest.raises(ConfigError, match="coverage@5 .*one number"):
        plot_by_history(full, "coverage@5", tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (*calls, lambda _, path: plot_curves(full, path)):
        with pytest.raises(ConfigError, match=r'matplotlib: .*"recae\[plot\]"'):
            call("ndcg@5", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_the_best_is_on_top(tmp_path: Path, drawn: list, report) -> None:
    reports = {
        name: report({"ndcg@5": [value]}, catalogue={"gini@5": value})
        for name, value in {"high": 0.8, "none": float("nan"), "low": 0.1}.items()
    }
    plot_comparison(reports, "ndcg@5", tmp_path / "a.png")
    plot_comparison(reports, "gini@5", tmp_path / "b.png")
    names = [[t.get_text().split()[0] for t in axes.get_yticklabels()] for axes in drawn]
    assert names == [["high", "low", "none"], ["low", "high", "none"]]
    assert all(axes.yaxis_inverted() for axes in drawn)  # the first is on top


def test_users_without_a_value_may_be_others(tmp_path: Path, drawn: list, full) -> None:
    """The bins of the best are those of all, though its user with the shortest history has none."""
    best, *others = full
    frame = best.reports[0].per_user.copy()
    frame.iloc[0] = float("nan")
    gap = replace(best, reports=[replace(best.reports[0], per_user=frame)])
    plot_by_history([gap, *others], "ndcg@5", tmp_path / "a.png")
    (axes,) = drawn
    assert axes.get_xticklabels()[0].get_text().startswith("1–")
    assert len(axes.get_xticklabels()) == 5
