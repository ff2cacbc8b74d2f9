"""Models far below the others: which they are, and how the charts show them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from recae.report import Entry, Published
from recae.report.charts import Chart
from recae.report.figures import report_charts
from recae.report.rows import best_first, main_group

VALUES = {"a": 0.50, "b": 0.49, "c": 0.48, "d": 0.47, "weak": 0.05}
"""The limit is 0.5 - 3 * (0.5 - 0.47) = 0.41: of five, the fourth is at three quarters."""


@dataclass
class Drawn:
    """A chart and its axes."""

    chart: Chart
    axes: Any

    @property
    def marks(self) -> dict[str, tuple[float, float, str]]:
        """Of each mark with a name: where it stands, in pixels, and its shape."""
        found = {}
        for hint, x, y, mark in self.hinted:
            found[hint.split(":")[0].split(",")[0]] = (x, y, mark)
        return found

    @property
    def hinted(self) -> list[tuple[str, float, float, str]]:
        """The hint, the place and the shape of all marks."""
        return [
            (
                line.get_gid().removeprefix("hint:"),
                *(line.get_transform().transform(line.get_xydata())[0] * 72 / 150),
                line.get_marker(),
            )
            for line in self.axes.lines
            if line.get_gid()
        ]

    @property
    def texts(self) -> list[str]:
        ticks = [*self.axes.get_xticklabels(), *self.axes.get_yticklabels()]
        return [text.get_text() for text in [*self.axes.texts, *ticks]]


def one(entries: list[Entry], key: str, metric: str = "ndcg@5") -> Drawn:
    (chart,) = [c for c in report_charts(best_first(entries, metric), metric) if c.key == key]
    figure = chart.draw()
    figure.draw_without_rendering()
    return Drawn(chart, figure.axes[0])


def planted(make, metric: str = "ndcg@5", **more: object) -> list[Entry]:
    entries = [make(name, [value, value], **more) for name, value in VALUES.items()]
    return [
        replace(
            e,
            reports=[
                replace(
                    r,
                    per_user=r.per_user.rename(columns={"ndcg@5": metric}),
                    interval={metric: (r["ndcg@5"] - 0.02, r["ndcg@5"] + 0.02)},
                )
                for r in e.reports
            ],
        )
        for e in entries
    ]


def test_the_bounds_are_three_times_the_distance_at_three_quarters() -> None:
    assert main_group(list(VALUES.values())) == pytest.approx((0.41, 0.59))
    assert main_group([0.2, 0.1, 0.9, 0.15, 0.12], less=True) == pytest.approx((-0.2, 0.4))
    assert main_group([1, 2, 3, math.nan, 4, math.inf]) == pytest.approx(
        (-2, 10)
    )  # 2 of 4, 3, 2, 1


@pytest.mark.parametrize("values", [[], [0.3], [0.9, 0.8, 0.0], [0.3, 0.3, 0.3, 0.3, 0.0]])
def test_few_values_and_equal_ones_have_no_bounds(values: list[float]) -> None:
    assert main_group(values) == (-math.inf, math.inf)


def test_laws_of_the_bounds() -> None:
    rng = np.random.default_rng(0)
    for count in range(4, 40):
        values = rng.standard_cauchy(count)
        low, high = main_group(values.tolist())
        assert main_group(rng.permutation(values).tolist()) == (low, high)
        assert main_group((2 * values + 5).tolist()) == pytest.approx((2 * low + 5, 2 * high + 5))
        assert main_group((-values).tolist(), less=True) == pytest.approx((-high, -low))
        inside = (values >= low).sum()
        assert inside >= math.ceil(0.75 * (count - 1)) and values.max() < high


def test_a_weak_model_does_not_spoil_the_forest(make) -> None:
    figure = one(planted(make), "forest")
    spots = figure.marks
    # Four equal steps of 0.01 on an axis from 0.47 - 0.02 to 0.5 + 0.02: a seventh of it each.
    steps = -np.diff([spots[name][0] for name in "abcd"])
    assert steps == pytest.approx(np.full(3, steps[0]), abs=0.2) and steps[0] > 90
    assert spots["weak"][2] == "<" and all(spots[name][2] == "o" for name in "abcd")
    assert spots["weak"][0] < spots["d"][0] - 2 * steps[0]
    intervals = [line.get_xdata() for line in figure.axes.lines if len(line.get_xdata()) == 2]
    assert len(intervals) == 4
    assert "weak   0.0500" in figure.texts and "0.0" not in figure.texts
    assert "◀ far below" in figure.chart.note
    assert figure.chart.wide and figure.axes.figure.get_figwidth() * 72 == 1100


def test_without_a_weak_model_nothing_is_at_the_edge(make) -> None:
    figure = one(planted(make)[:4], "forest")
    assert [mark for *_, mark in figure.marks.values()] == ["o"] * 4
    assert "far" not in figure.chart.note


def test_a_model_that_the_axis_has_room_for_is_drawn_in_its_place(make) -> None:
    entries = planted(make)
    almost = make("almost", [0.405, 0.405])  # below 0.41, but an interval reaches to 0.40
    wide = [replace(entries[3].reports[0], interval={"ndcg@5": (0.40, 0.50)})]
    figure = one([*entries[:3], replace(entries[3], reports=wide), almost], "forest")
    spots = figure.marks
    step = spots["a"][0] - spots["b"][0]
    assert spots["almost"][2] == "o"
    assert spots["d"][0] - spots["almost"][0] == pytest.approx(6.5 * step, abs=0.6)


def test_a_published_figure_far_off_is_written_beside_its_arrow(make) -> None:
    entries = planted(make)
    for value, mark, note in ((0.9, ">", "▶ far above"), (0.1, "<", "◀ far below")):
        given = {"ndcg@5": Published(value, "a paper")}
        figure = one([replace(entries[0], published=given), *entries[1:]], "forest")
        spots = figure.marks
        assert spots["published"][2] == mark and f"{value:.4f}" in figure.texts
        assert spots["published"][1] == spots["a"][1] and note in figure.chart.note
    near = {"ndcg@5": Published(0.43, "a paper")}
    spots = one([replace(entries[0], published=near), *entries[1:]], "forest").marks
    assert spots["published"][2] == "D"
    assert spots["d"][0] - spots["published"][0] == pytest.approx(
        4 * (spots["a"][0] - spots["b"][0]), abs=0.4
    )


def test_where_less_is_better_the_weak_one_is_on_the_right(make) -> None:
    entries = planted(make, "gini@5")
    turned = [
        replace(e, reports=[replace(r, per_user=1 - r.per_user, interval={}) for r in e.reports])
        for e in entries
    ]
    figure = one(turned, "forest", "gini@5")
    spots = figure.marks
    assert spots["weak"][2] == ">" and spots["weak"][0] > spots["d"][0] > spots["a"][0]
    assert "▶ far above" in figure.chart.note


def test_seconds(make) -> None:
    seconds = (0.0, 1.0, 10.0, 100.0, 1000.0)
    entries = [
        replace(e, fit_seconds=[s]) for e, s in zip(planted(make), seconds, strict=True)
    ]  # a took nothing, the weak one longest
    figure = one(entries, "time")
    spots = figure.marks
    assert spots["weak"][2] == "v"
    assert spots["weak"][1] < min(spots[name][1] for name in "abcd") - 10
    decade = spots["c"][0] - spots["b"][0]
    assert spots["d"][0] - spots["c"][0] == pytest.approx(decade, abs=0.2)
    assert spots["b"][0] - spots["a"][0] == pytest.approx(2 * decade, abs=0.2)  # from 0.01
    assert spots["weak"][0] < spots["d"][0] + decade  # it does not stretch the other axis
    assert "≤ 0.01" in figure.texts and {*VALUES} <= {*figure.texts}
    caption = figure.chart.note
    assert re.search(r"▼ far below .*weak \(0\.0500, 1,000 s\)", caption)
    assert any(hint.startswith("a: 0.5000, 0.01 s ") for hint, *_ in figure.hinted)


def test_coverage(make) -> None:
    entries = [
        replace(e, reports=[replace(r, catalogue={"coverage@5": share}) for r in e.reports])
        for e, share in zip(planted(make), (0.1, 0.2, 0.3, 0.4, 1.0), strict=True)
    ]
    figure = one(entries, "coverage-0")
    spots = figure.marks
    assert spots["weak"][2] == "v" and "weak (0.0500, 1.0000)" in figure.chart.note
    steps = np.diff([spots[name][0] for name in "abcd"])
    assert steps == pytest.approx(np.full(3, steps[0]), abs=0.2) and steps[0] > 140


def test_thirty_models_are_all_labelled(make) -> None:
    rng = np.random.default_rng(0)
    values = [*rng.uniform(0.3, 0.35, 29), 0.01, 0.1]
    entries = [
        make(f"a-model-{n}", [value, value], fit_seconds=[float(s)])
        for n, (value, s) in enumerate(zip(values, 10 ** rng.uniform(0, 3, 31), strict=True))
    ]
    figure = one(entries, "time")
    assert figure.chart.wide and figure.axes.figure.get_figwidth() * 72 == 1100
    assert {entry.name for entry in entries} <= {*figure.texts}


def test_tuning(make) -> None:
    def trials(*values: float) -> list[dict]:
        return [{"params": {"l2": v}, "value": v, "seconds": 10.0} for v in values]

    a = trials(0.01, 0.38, 0.02, 0.39, 0.40, 0.375)
    b = trials(0.37, 0.38, 0.36, 0.39, 0.03, 0.39)
    first, second = planted(make)[:2]
    figure = one([replace(first, trials=a), replace(second, trials=b)], "tuning")
    # The lines run from 0.01 or 0.37 to 0.40. Of their twelve points the ninth is 0.38: all but
    # 0.01 lie within 0.34, and the axis goes half of 0.37 to 0.40 further down, to 0.355.
    beyond = [y for _, _, y, mark in figure.hinted if mark == "v"]
    assert len(beyond) == 3 and len(set(beyond)) == 1
    assert re.search("▼ .*edge: 3 of 12 settings", figure.chart.note)
    first_line, second_line = [x for x in figure.axes.lines if x.get_drawstyle() == "steps-post"]
    low, high = figure.axes.get_ylim()
    assert low == pytest.approx(0.355, abs=0.001) and high == pytest.approx(0.4, abs=0.001)
    assert first_line.get_ydata()[0] < low < second_line.get_ydata()[0]


def test_a_line_that_ends_low_is_on_the_axis_of_tuning(make) -> None:
    def trials(*values: float) -> list[dict]:
        return [{"params": {}, "value": v, "seconds": 1.0} for v in values]

    first, second = planted(make)[:2]
    good, low = trials(0.39, *[0.4] * 9), trials(0.1)
    figure = one([replace(first, trials=good), replace(second, trials=low)], "tuning")
    assert "edge" not in figure.chart.note
