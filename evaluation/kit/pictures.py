"""Rows of small grey images as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recae.report.canvas import write


def picture_of_images(rows: Mapping[str, np.ndarray], path: Path) -> Path:
    """Writes a PNG: for each entry a labelled row of images (n, height, width) from 0 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(len(images) for images in rows.values())
    figure = Figure(figsize=(width * 0.75 + 1.6, len(rows) * 0.78), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (name, images) in zip(axes, rows.items(), strict=True):
        axis.imshow(
            np.concatenate(list(np.clip(images, 0, 1)), axis=1), cmap="gray_r", vmin=0, vmax=1
        )
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.tight_layout(pad=0.3)
    return write(figure, path, overwrite=True)
