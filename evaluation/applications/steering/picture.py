"""Plots steering: for ten units, the share of their genre against NDCG@10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.applications.steering.doses import BUDGET, METRIC
from recae.report.canvas import COLOURS, DPI, MARKS
from recae.system.files import atomic_file

WAYS = {
    "tastes": "unit turned up",
    "pca": "axis of PCA",
    "raw": "raw dimension",
    "rerank": "bonus on the genre, which it knows",
}
FLOOR = -12.0
"""Loss of NDCG@10 in per cent at which the panels end."""


def draw(result: dict[str, Any], path: Path) -> None:
    """Plots ten panels and writes a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 5, sharey=True).ravel()
    for panel, row, unit in zip(panels, result["at_budget"], result["units"], strict=True):
        for number, (way, label) in enumerate(WAYS.items()):
            curve = row["ways"][way]["curve"]
            change = [100 * (value / curve[METRIC][0] - 1) for value in curve[METRIC]]
            shown = [place for place, value in enumerate(change) if value > 1.5 * FLOOR]
            panel.plot(
                [100 * curve["genre"][place] for place in shown],
                [change[place] for place in shown],
                color=COLOURS[number],
                marker=MARKS[number],
                markersize=3,
                linewidth=2 if way == "tastes" else 1,
                label=label,
            )
        first = unit["name"].partition(": ")[2].split(";")[0]
        panel.set_title(f"{row['genre']}\n{first[:34]}", fontsize=9)
        panel.axhline(-100 * BUDGET, color="grey", linestyle=":", linewidth=1)
        panel.set_ylim(FLOOR, 2)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    figure.supxlabel("films of the genre among the top 10, %", fontsize=10)
    figure.supylabel("change of NDCG@10, %", fontsize=10)
    with atomic_file(path, overwrite=True) as part:
        figure.savefig(part)
