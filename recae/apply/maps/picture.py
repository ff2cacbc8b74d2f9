"""A map as a PNG picture."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from recae.apply.maps.colours import LIGHT, MARKS, OTHER_LIGHT, SCALE, Amounts, Groups
from recae.apply.maps.points import Points, chosen, heading, model_name, quality
from recae.errors import check_integer
from recae.report.canvas import DPI, any_letters, canvas, write
from recae.report.labels import Box, nearest, place
from recae.report.markup import NOT_SHOWN, shortened
from recae.system.files import PICTURES, check_target

WIDTH, BESIDE, LOWEST, HIGHEST = 11.0, 2.2, 6.0, 9.5
"""Inches: width of the picture, width of its legend, least and greatest height."""
LONGEST, LINE = 34, 170
"""Characters of a label, and of a line of the caption."""
AREA = 60_000.0
"""Square points of all marks together, each within the limits of `SIZES`."""
SIZES = 7.0, 60.0


def picture(
    drawn: Points,
    path: str | Path,
    colour: str | None,
    labels: int,
    title: str | None,
    *,
    overwrite: bool,
) -> Path:
    """Draws a map and writes it; see `Map.plot`."""
    labels = check_integer("labels", labels, 0)
    check_target(path, overwrite=overwrite, endings=PICTURES)
    with any_letters():  # titles have any script
        return write(_figure(drawn, colour, labels, title), path, overwrite=overwrite)


def _figure(drawn: Points, colour: str | None, labels: int, title: str | None) -> Any:
    """The whole picture. Its height follows the extent of the points, so that distances are the
    same in both directions."""
    wide, high = np.maximum(drawn.positions.max(axis=0) - drawn.positions.min(axis=0), 1e-300)
    height = float(np.clip(1 + (WIDTH - BESIDE) * high / wide, LOWEST, HIGHEST))
    figure, axes = canvas(WIDTH, height, layout="constrained")
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color("#d5dae0")
    axes.set_xticks([])
    axes.set_yticks([])
    if drawn.method == "pca":
        shares = drawn.provenance["explained_variance"]
        axes.set_xlabel(f"first principal component, {shares[0]:.0%} of the variance")
        axes.set_ylabel(f"second principal component, {shares[1]:.0%} of the variance")
    axes.set_title(_plain(title or heading(drawn)), loc="left", fontsize=14, fontweight="bold")
    vectors = [f"{model_name(drawn)}, {drawn.provenance['vectors']}"] if model_name(drawn) else []
    caption = fill("; ".join(vectors + quality(drawn, colour)), LINE)
    figure.text(0.008, 0.06 / height, _plain(caption), va="bottom", fontsize=8.5, color="#57606a")
    below = (0.09 + 0.15 * (1 + caption.count("\n"))) / height
    figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
    size = float(np.clip(AREA / len(drawn.ids), *SIZES))
    kind = None if colour is None else drawn.colours[colour]
    if isinstance(kind, Groups):
        _draw_groups(axes, drawn, kind, str(colour), size)
    elif isinstance(kind, Amounts):
        _draw_amounts(figure, axes, drawn, kind, str(colour), size)
    else:
        axes.scatter(*drawn.positions.T, s=size, color=LIGHT[0], alpha=0.8, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    if labels and drawn.named:
        _name(figure, axes, drawn, labels)
    return figure


def _draw_groups(axes: Any, drawn: Points, groups: Groups, name: str, size: float) -> None:
    """Draws each group in its colour and mark, rare groups above frequent ones."""
    looks = [*zip(groups.shown, LIGHT, MARKS, strict=False)]
    if (groups.codes == len(groups.shown)).any():
        looks.append(("other", OTHER_LIGHT, "."))
    for code, (label, shade, mark) in enumerate(looks):
        here, other = drawn.positions[groups.codes == code], code == len(groups.shown)
        axes.scatter(
            *here.T,
            s=size * (0.6 if other else 1.0),
            color=shade,
            marker=mark,
            alpha=0.85,
            linewidths=0,
            zorder=0.9 if other else 1,  # named last, drawn below the groups
            # Legends omit labels that begin with _, so a zero-width space precedes them.
            label=f"\u200b{_plain(shortened(label, 24))} ({len(here):,})",
        )
    axes.figure.legend(
        title=_plain(name),
        loc="outside right upper",
        frameon=False,
        markerscale=max(1.0, (45 / size) ** 0.5),
        alignment="left",
    )


def _draw_amounts(
    figure: Any, axes: Any, drawn: Points, amounts: Amounts, name: str, size: float
) -> None:
    """Points shaded by a number, the largest on top and those without a number in grey, with a bar
    for the scale."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
    from matplotlib.ticker import FuncFormatter

    known = np.isfinite(amounts.values)
    axes.scatter(*drawn.positions[~known].T, s=size, color=OTHER_LIGHT, linewidths=0)
    shade = LinearSegmentedColormap.from_list("recae", SCALE[::-1])
    values = amounts.values[known]
    limits = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    norm = LogNorm(*limits) if amounts.logarithmic else Normalize(*limits)
    order = np.argsort(values, kind="stable")  # the largest on top
    marks = axes.scatter(
        *drawn.positions[known][order].T,
        s=size,
        c=values[order],
        cmap=shade,
        norm=norm,
        linewidths=0,
    )
    bar = figure.colorbar(marks, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label(_plain(name) + (", logarithmic" if amounts.logarithmic else ""))
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _name(figure: Any, axes: Any, drawn: Points, labels: int) -> None:
    """Writes the titles of the most important points without overlaps."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    figure.draw_without_rendering()  # for the pixels of the data
    figure.set_layout_engine("none")  # keeps the positions found now
    picked = chosen(drawn.positions, drawn.importance, labels)
    box = axes.get_window_extent()
    names = [_plain(shortened(drawn.titles[place], LONGEST)) for place in picked]
    pixels = axes.transData.transform(drawn.positions[picked])
    spots = [(float(x - box.x0), float(box.y1 - y)) for x, y in pixels]
    renderer = figure.canvas.get_renderer()
    halo = [withStroke(linewidth=2.5, foreground="white")]
    sizes, texts = [], []
    for name in names:
        text = axes.text(0, 0, name, fontsize=9, path_effects=halo, transform=None, va="center")
        extent = text.get_window_extent(renderer)
        sizes.append((extent.width + 4, extent.height + 2))
        texts.append(text)
    area = Box(0, 0, box.width, box.height)
    found = place(spots, sizes, area, mark=4)
    for spot, text, at in zip(spots, texts, found, strict=True):
        if at is None:
            text.remove()
            continue
        text.set_position((box.x0 + at.left + 2, box.y1 - (at.top + at.bottom) / 2))
        ends = [(box.x0 + x, box.y1 - y) for x, y in (spot, nearest(spot, at))]
        axes.add_artist(
            Line2D(*zip(*ends, strict=True), color="#57606a", linewidth=0.7, transform=None)
        )
        ring = Circle(
            ends[0], 0.03 * DPI, fill=False, color="#1b1f24", linewidth=0.9, transform=None
        )
        axes.add_artist(ring)


def _plain(text: str) -> str:
    """A text for matplotlib, where a bare $ would begin a formula."""
    return NOT_SHOWN.sub("\ufffd", text).replace("$", r"\$")
