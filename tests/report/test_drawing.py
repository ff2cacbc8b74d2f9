"""Scales, ticks, labels and colours of the charts."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from recae.report.canvas import COLOURS, GRID, INK, PAPER, SOFT
from recae.report.charts import log_ticks, span
from recae.report.labels import Box, nearest, place, spread
from recae.report.markup import Markup, element, shortened


def test_logarithmic_ticks() -> None:
    assert log_ticks(0.5, 3000) == ([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    assert log_ticks(0.9, 11)[1] == ["1", "2", "5", "10"]


def test_the_least_value_says_that_it_stands_for_all_below() -> None:
    assert log_ticks(0.006, 20, least=0.01)[1] == ["≤ 0.01", "0.1", "1", "10"]


@pytest.mark.parametrize("values", [[], [np.nan], [0.3], [0.3, 0.3], [0.0, 0.0], [5e-9, 5e-9]])
def test_an_axis_of_one_value_or_none_is_an_axis(values: list[float]) -> None:
    low, high = span(values)
    assert np.isfinite([low, high]).all() and low < high
    assert all(low <= value <= high for value in values if np.isfinite(value))


def test_a_share_has_no_axis_below_nothing() -> None:
    assert span([0.01, 0.9])[0] == 0 and span([-0.01, 0.9])[0] < -0.01


def test_labels_cover_nothing() -> None:
    rng = np.random.default_rng(0)
    area = Box(0, 0, 600, 400)
    for count in (1, 2, 10, 30):
        points = [(float(x), float(y)) for x, y in rng.uniform((10, 10), (590, 390), (count, 2))]
        points += points[:1]  # one on top of another
        sizes = [(float(w), 15.0) for w in rng.uniform(20, 120, count + 1)]
        found = place(points, sizes, area)
        boxes = [box for box in found if box]
        assert len(boxes) >= 0.8 * len(points)
        for box, size in zip(found, sizes, strict=True):
            if box:
                assert box.within(area)
                assert (box.right - box.left, box.bottom - box.top) == pytest.approx(size)
        assert not any(a.meets(b) for a, b in itertools.combinations(boxes, 2))
        for x, y in points:
            mark = Box(x - 5, y - 5, x + 5, y + 5)
            assert not any(box.meets(mark) for box in boxes)


def test_a_lonely_label_stands_beside_its_point() -> None:
    (box,) = place([(100, 100)], [(50, 16)], Box(0, 0, 300, 200))
    assert box == Box(107, 92, 157, 108)
    (box,) = place([(290, 100)], [(50, 16)], Box(0, 0, 300, 200))
    assert box == Box(233, 92, 283, 108)  # no room on the right
    assert place([(10, 10)], [(50, 16)], Box(0, 0, 40, 40)) == [None]
    assert nearest((0, 50), Box(10, 20, 30, 40)) == (10, 40)


def test_spread_keeps_order_gap_and_bounds() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 2, 8):
        for _ in range(20):
            wanted = rng.uniform(0, 100, count).tolist()
            found = spread(wanted, 12, 0, 100)
            order = np.argsort(wanted, kind="stable")
            assert (np.diff(np.array(found)[order]) > 12 - 1e-9).all()
            assert min(found) >= 0 and max(found) <= 100
    assert spread([10, 40, 90], 12, 0, 100) == [10, 40, 90]  # nobody moves without need
    assert spread([50.0] * 11, 20, 0, 100) == pytest.approx(np.arange(0, 101, 10))


def test_elements() -> None:
    assert element("p", "a<b", Markup("<br/>"), None, [1, "&"]) == "<p>a&lt;b<br/>1&amp;</p>"
    assert element("a", "x", href='"#', class_="y", data_n=2, title=None) == (
        '<a href="&quot;#" class="y" data-n="2">x</a>'
    )
    assert shortened("a  long\nname", 20) == "a long name" and shortened("abcdef", 4) == "abc…"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> list[dict[str, str]]:
    """The colours of the page, light and dark."""
    style = (files("recae.report") / "page.css").read_text(encoding="utf-8")
    found = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(found) == 2 and found[0].keys() == found[1].keys()
    return found


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_texts_can_be_read_in_both_modes(theme: dict[str, str]) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for name in ("ink", "soft", "link", *(f"s{n}" for n in range(8))):
        assert contrast(theme[name], theme["paper"]) >= 4.5, name  # WCAG AA
    assert contrast(theme["ink"], theme["panel"]) >= 4.5
    for name in ("better", "worse"):
        assert contrast(theme[name], theme[f"{name}-paper"]) >= 4.5, name


def test_pictures_have_the_colours_of_the_page_in_both_modes() -> None:
    light = themes()[0]
    assert list(COLOURS) == [light[f"s{n}"] for n in range(8)]
    assert (INK, SOFT, GRID, PAPER) == tuple(light[n] for n in ("ink", "soft", "grid", "paper"))
    style = (files("recae.report") / "page.css").read_text(encoding="utf-8")
    for name in ("ink", "soft", "grid", "paper", *(f"s{n}" for n in range(8))):
        for part in ("fill", "stroke"):
            assert f'svg [{part}="{light[name]}"] {{ {part}: var(--{name}); }}' in style
