"""Plots the curves of `image_codec`: rate against distortion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recae.report.canvas import write

COLOURS = {"ImageCodec": "#0b5394", "WebP": "#c0392b", "JPEG": "#7f8c2d"}


def curves(result: Mapping[str, Any], path: Path) -> Path:
    """Writes a PNG: PSNR and SSIM against bytes, images by themselves and many in one file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.4), dpi=80)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharey="row")
    for column, together in enumerate((False, True)):
        for row, measure in enumerate(("psnr", "ssim")):
            axis = axes[row, column]
            for name in dict.fromkeys(point["codec"] for point in result["rows"]):
                if ("tiled" in name or "one file" in name) == together:
                    _draw(axis, name, result["rows"], measure, bare=not together)
            axis.set_xscale("log")
            axis.set_xlim(5, 400 if not together else 150)
            axis.set_ylabel("PSNR, dB" if measure == "psnr" else "SSIM")
            axis.grid(alpha=0.25, which="both")
            ticks = [t for t in (5, 10, 20, 40, 80, 160, 320) if t <= axis.get_xlim()[1]]
            axis.set_xticks(ticks, [str(tick) for tick in ticks])
            axis.set_xticks([], minor=True)
        axes[0, column].set_ylim(14, 31)
        axes[0, column].set_title("all images in one file" if together else "one image per file")
        axes[1, column].set_xlabel("bytes an image")
        axes[0, column].legend(fontsize=8, loc="upper left", frameon=False)
    figure.tight_layout()
    return write(figure, path, overwrite=True)


def _draw(axis: Any, name: str, rows: Any, measure: str, *, bare: bool) -> None:
    """A codec's curve, and dashed the curve without fixed headers."""
    points = [row for row in rows if row["codec"] == name]
    colour = COLOURS[name.partition(",")[0]]
    ours = name.startswith("ImageCodec")
    style = "-." if "75%" in name else ":" if "50%" in name else "-"
    values = [row[measure] for row in points]
    axis.plot(
        [row["bytes"] for row in points],
        values,
        style,
        color=colour,
        marker="o" if ours else ".",
        lw=2.2 if ours else 1.2,
        label=name,
    )
    if bare:
        axis.plot(
            [row["bare_bytes"] for row in points],
            values,
            "--",
            color=colour,
            lw=1,
            label=f"{name}, headers not counted",
        )
