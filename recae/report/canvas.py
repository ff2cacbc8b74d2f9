"""What every picture needs of matplotlib, without its global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recae.errors import ConfigError
from recae.system.files import atomic_file

DPI = 150
COLOURS = (
    "#0a5ea8",
    "#b24500",
    "#00705a",
    "#8b3a8f",
    "#7a5c00",
    "#b3265b",
    "#4c5560",
    "#2a6f97",
)
MARKS = ("o", "s", "D", "^", "v", "x", "+", "|")
DASHES = ("-", "--", ":", "-.", (0, (5, 5)), (0, (1, 2)), (0, (9, 3)), (0, (5, 2, 1, 2, 1, 2)))
"""Of the eight kinds of lines: they differ in more than colour."""


def canvas(width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A figure of so many inches and its axes. Raises ConfigError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install "recae[plot]"') from error
    figure = Figure(figsize=(width, height), dpi=DPI, **options)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def write(figure: Any, path: str | Path) -> Path:
    """Writes a PNG, whole or not at all. Returns the path."""
    with atomic_file(path) as part:
        figure.savefig(part, format="png", dpi=DPI)
    return Path(path)
