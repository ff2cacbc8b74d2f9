"""A picture of synthetic users: marginals, neighbours, use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recae.errors import ConfigError
from recae.report.canvas import COLOURS, DPI, write

NAMES = {
    "held-out": "held-out users",
    "synthetic": "synthetic users",
    "popularity": "items by popularity",
    "resampled": "real users again",
}
COLOUR = dict(zip(NAMES, (COLOURS[6], COLOURS[0], COLOURS[1], COLOURS[2]), strict=True))
DASH = {"held-out": "--", "synthetic": "-", "popularity": ":", "resampled": "-."}


def draw(report: Any, path: str | Path) -> Path:
    """Draws a SyntheticReport. Returns the path."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install "recae[plot]"') from error
    panels = [_marginals, _neighbours, _use] if report.nearest else [_marginals]
    figure = Figure(figsize=(3.9 * len(panels), 3.5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        panel(report, axes)
    return write(figure, path)


def _marginals(report: Any, axes: Any) -> None:
    real, ours = report.items["real"], report.items["synthetic"]
    some = (real > 0) & (ours > 0)
    axes.plot(real[some], ours[some], ".", color=COLOUR["synthetic"], markersize=2)
    ends = [float(real[some].min()), float(real[some].max())]
    axes.plot(ends, ends, color=COLOURS[6], linewidth=1)
    axes.set(xscale="log", yscale="log", title="How often each item comes up")
    axes.set_xlabel("share of real interactions")
    axes.set_ylabel("share of synthetic interactions")


def _neighbours(report: Any, axes: Any) -> None:
    edges = np.linspace(0, 1, 51)
    highest = 0.0
    for name, dash in DASH.items():
        counts, _ = np.histogram(report.nearest[name], bins=edges)
        shares = counts / counts.sum()
        axes.stairs(shares, edges, color=COLOUR[name], linestyle=dash, label=NAMES[name])
        if name != "resampled":  # copies all stand at 1, out of the picture
            highest = max(highest, float(shares.max()))
    axes.set(title="The nearest training user", ylim=(0, 1.4 * highest))
    axes.set_xlabel("Jaccard similarity to it (1: a copy)")
    axes.set_ylabel("share of users")
    axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(0.92, 1))


def _use(report: Any, axes: Any) -> None:
    use = report.measures.loc["use"]
    bars = [("real users", use["real"], COLOURS[6])]
    bars += [(NAMES[n], use[n], COLOUR[n]) for n in ("resampled", "synthetic", "popularity")]
    for place, (_, value, colour) in enumerate(bars):
        axes.bar(place, value, color=colour, width=0.65)
        axes.text(place, value, f"{value:.3f}", ha="center", va="bottom", fontsize=8)
    axes.axhline(report.floor, color="black", linewidth=1, linestyle=":")
    axes.set_xlim(-0.5, len(bars) + 0.1)
    axes.text(len(bars) + 0.1, report.floor, "popular\nitems", ha="right", va="bottom", fontsize=8)
    axes.set_xticks(range(len(bars)), [name.replace(" ", "\n", 1) for name, *_ in bars], fontsize=8)
    axes.set_ylabel(f"{report.metric} on real held-out users")
    axes.set_title("A model fitted on them")
