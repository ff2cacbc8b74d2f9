"""Models far below the others: which they are, and how the charts show them."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from recae.report import Entry, Published
from recae.report.rows import main_group

VALUES = {"a": 0.50, "b": 0.49, "c": 0.48, "d": 0.47, "weak": 0.05}
"""The limit is 0.5 - 3 * (0.5 - 0.47) = 0.41: of five, the fourth is at three quarters."""


def place(node) -> tuple[float, float]:
    """Where a mark stands."""
    x, y = re.findall(r"translate\((\S+) (\S+)\)", node.attributes["transform"])[0]
    return float(x), float(y)


def marks(figure) -> dict[str, tuple[float, float, str]]:
    """Of each mark with a name: where it stands, and its turn if it points beyond the axis."""
    found = {}
    for node in figure.all("g"):
        if node.attributes.get("class", "").startswith("mark") and node.all("title"):
            turn = re.findall(r"rotate\((.*)\)", node.attributes["transform"])
            name = node.all("title")[0].text.split(":")[0].split(",")[0]
            found[name] = (*place(node), turn[0] if turn else "")
    return found


def texts(figure) -> list[str]:
    return [node.text for node in figure.all("text")]


def one(page, key: str):
    (figure,) = page.all("figure", id=f"figure-{key}")
    return figure


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


def test_a_weak_model_does_not_spoil_the_forest(page, make) -> None:
    figure = one(page(planted(make)), "forest")
    spots = marks(figure)
    # Four equal steps of 0.01 on an axis from 0.47 - 0.02 to 0.5 + 0.02: a seventh of it each.
    steps = -np.diff([spots[name][0] for name in "abcd"])
    assert steps == pytest.approx(np.full(3, steps[0]), abs=0.2) and steps[0] > 90
    assert spots["weak"][2] == "-90" and all(spots[name][2] == "" for name in "abcd")
    assert spots["weak"][0] < spots["d"][0] - 2 * steps[0]
    assert len(figure.all("line", class_="whisker s0")) == 4
    assert "0.0500" in texts(figure) and "0.0" not in texts(figure)
    assert figure.all("figcaption")[0].text.endswith("◀ far below the axis, with its figure.")
    assert figure.attributes["class"] == "wide"
    assert figure.all("svg")[0].attributes["width"] == "1100"


def test_without_a_weak_model_nothing_is_at_the_edge(page, make) -> None:
    figure = one(page(planted(make)[:4]), "forest")
    assert [turn for *_, turn in marks(figure).values()] == [""] * 4
    assert "far" not in figure.all("figcaption")[0].text


def test_a_model_that_the_axis_has_room_for_is_drawn_in_its_place(page, make) -> None:
    entries = planted(make)
    almost = make("almost", [0.405, 0.405])  # below 0.41, but an interval reaches to 0.40
    wide = [replace(entries[3].reports[0], interval={"ndcg@5": (0.40, 0.50)})]
    figure = one(page([*entries[:3], replace(entries[3], reports=wide), almost]), "forest")
    spots = marks(figure)
    step = spots["a"][0] - spots["b"][0]
    assert spots["almost"][2] == ""
    assert spots["d"][0] - spots["almost"][0] == pytest.approx(6.5 * step, abs=0.6)


def test_a_published_figure_far_off_is_written_beside_its_arrow(page, make) -> None:
    entries = planted(make)
    for value, turn, said in ((0.9, "90", "▶ far above"), (0.1, "-90", "◀ far below")):
        told = {"ndcg@5": Published(value, "a paper")}
        figure = one(page([replace(entries[0], published=told), *entries[1:]]), "forest")
        spots = marks(figure)
        assert spots["published"][2] == turn and f"{value:.4f}" in texts(figure)
        assert spots["published"][1] == spots["a"][1] and said in figure.all("figcaption")[0].text
    near = {"ndcg@5": Published(0.43, "a paper")}
    spots = marks(one(page([replace(entries[0], published=near), *entries[1:]]), "forest"))
    assert spots["published"][2] == ""
    assert spots["d"][0] - spots["published"][0] == pytest.approx(
        4 * (spots["a"][0] - spots["b"][0]), abs=0.4
    )


def test_where_less_is_better_the_weak_one_is_on_the_right(page, make) -> None:
    entries = planted(make, "gini@5")
    turned = [
        replace(e, reports=[replace(r, per_user=1 - r.per_user, interval={}) for r in e.reports])
        for e in entries
    ]
    figure = one(page(turned), "forest")
    spots = marks(figure)
    assert spots["weak"][2] == "90" and spots["weak"][0] > spots["d"][0] > spots["a"][0]
    assert "▶ far above the axis" in figure.all("figcaption")[0].text


def test_seconds(page, make) -> None:
    seconds = (0.0, 1.0, 10.0, 100.0, 1000.0)
    entries = [
        replace(e, fit_seconds=[s]) for e, s in zip(planted(make), seconds, strict=True)
    ]  # a took nothing, the weak one longest
    figure = one(page(entries), "time")
    spots = marks(figure)
    assert spots["weak"][2] == "180"
    assert spots["weak"][1] > max(spots[name][1] for name in "abcd") + 10
    decade = spots["c"][0] - spots["b"][0]
    assert spots["d"][0] - spots["c"][0] == pytest.approx(decade, abs=0.2)
    assert spots["b"][0] - spots["a"][0] == pytest.approx(2 * decade, abs=0.2)  # from 0.01
    assert spots["weak"][0] < spots["d"][0] + decade  # it does not stretch the other axis
    assert "≤ 0.01" in texts(figure) and {*VALUES} <= {*texts(figure)}
    caption = figure.all("figcaption")[0].text
    assert caption.endswith("▼ far below the axis, drawn at its end: weak (0.0500, 1,000 s).")
    hints = [node.all("title")[0].text for node in figure.all("g") if node.all("title")]
    assert "a: 0.5000, 0.01 s or less" in hints


def test_coverage(page, make) -> None:
    entries = [
        replace(e, reports=[replace(r, catalogue={"coverage@5": share}) for r in e.reports])
        for e, share in zip(planted(make), (0.1, 0.2, 0.3, 0.4, 1.0), strict=True)
    ]
    figure = one(page(entries), "coverage-0")
    spots = marks(figure)
    assert spots["weak"][2] == "180" and "weak (0.0500, 1.0000)" in figure.text
    steps = np.diff([spots[name][0] for name in "abcd"])
    assert steps == pytest.approx(np.full(3, steps[0]), abs=0.2) and steps[0] > 140


def test_thirty_models_are_all_labelled(page, make, monkeypatch) -> None:
    monkeypatch.setattr("recae.report.page.document.all_pairs", lambda *_: [])
    rng = np.random.default_rng(0)
    values = [*rng.uniform(0.3, 0.35, 29), 0.01, 0.1]
    entries = [
        make(f"a-model-{n}", [value, value], fit_seconds=[float(s)])
        for n, (value, s) in enumerate(zip(values, 10 ** rng.uniform(0, 3, 31), strict=True))
    ]
    figure = one(page(entries), "time")
    assert figure.all("svg")[0].attributes["width"] == "1100"
    assert {entry.name for entry in entries} <= {*texts(figure)}


def test_tuning(page, make) -> None:
    def trials(*values: float) -> list[dict]:
        return [{"params": {"l2": v}, "value": v, "seconds": 10.0} for v in values]

    a = trials(0.01, 0.38, 0.02, 0.39, 0.40, 0.375)
    b = trials(0.37, 0.38, 0.36, 0.39, 0.03, 0.39)
    first, second = planted(make)[:2]
    figure = one(page([replace(first, trials=a), replace(second, trials=b)]), "tuning")
    # The lines run from 0.01 or 0.37 to 0.40. Of their twelve points the ninth is 0.38: all but
    # 0.01 lie within 0.34, and the axis goes half of 0.37 to 0.40 further down, to 0.355.
    beyond = [n for n in figure.all("g") if "rotate(180)" in n.attributes.get("transform", "")]
    assert len(beyond) == 3 and len({place(node)[1] for node in beyond}) == 1
    assert "▼ at the lower edge: 3 of 12 settings beyond it." in figure.all("figcaption")[0].text
    (start, *_), (other, *_) = (
        [tuple(map(float, spot.split(","))) for spot in node.attributes["points"].split()]
        for node in figure.all("polyline")
    )
    assert start[1] == place(beyond[0])[1] > other[1]
    ticks = [float(text) for text in texts(figure) if re.fullmatch(r"0\.\d+", text)]
    assert ticks and min(ticks) >= 0.354 and max(ticks) <= 0.401


def test_a_line_that_ends_low_is_on_the_axis_of_tuning(page, make) -> None:
    def trials(*values: float) -> list[dict]:
        return [{"params": {}, "value": v, "seconds": 1.0} for v in values]

    first, second = planted(make)[:2]
    good, low = trials(0.39, *[0.4] * 9), trials(0.1)
    figure = one(page([replace(first, trials=good), replace(second, trials=low)]), "tuning")
    assert "edge" not in figure.all("figcaption")[0].text
