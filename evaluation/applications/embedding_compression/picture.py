"""Plots `embedding_compression`: the share of NDCG that is kept against bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recae.report.canvas import COLOURS, MARKS, canvas, write

OURS = "sparse codes"
LEAST = 0.7
"""The lower end of the axis, as a share of the uncompressed NDCG; lower values are not drawn."""


def curves(result: Mapping[str, Any], path: Path) -> Path:
    """Writes a PNG: for every method NDCG on the test against the bytes of an item."""
    figure, axes = canvas(8, 5)
    metric = result["metrics"][0]
    rows = result["rows"]
    names = sorted({row["method"] for row in rows}, key=lambda name: (name != OURS, name))
    for place, name in enumerate(names):
        points = sorted((row["bytes"], row[metric]) for row in rows if row["method"] == name)
        axes.plot(
            *zip(*points, strict=True),
            marker=MARKS[place],
            color=COLOURS[place],
            lw=2.6 if name == OURS else 1.2,
            ms=7 if name == OURS else 5,
            zorder=3 if name == OURS else 2,
            label=name,
        )
    full = result["full"]
    axes.axhline(full[metric], color="#4c5560", ls=":", lw=1)
    axes.annotate(
        f"uncompressed, {full['bytes']:,} bytes",
        (1, 1.003 * full[metric]),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8,
    )
    axes.set_ylim(LEAST * full[metric], 1.04 * full[metric])
    axes.set_xscale("log", base=2)
    ticks = (32, 64, 128, 256, 512, 1024)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("bytes an item, without what all items share")
    axes.set_ylabel(metric.upper())
    axes.set_title(f"{result['data']}: {result['model'].partition('(')[0]} in fewer bytes")
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    return write(figure, path, overwrite=True)
