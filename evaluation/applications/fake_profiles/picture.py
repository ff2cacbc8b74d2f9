"""Plots the ROC curves of fake_profiles on the two labelled data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def draw(curves: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]], path: Path) -> Path:
    """Writes a PNG with an axis for each data set and a curve for each detector."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_auc_score, roc_curve

    figure = Figure(figsize=(5 * len(curves), 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (name, (fake, scores)) in zip(
        np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True
    ):
        for number, (detector, score) in enumerate(scores.items()):
            false, true, _ = roc_curve(fake, score)
            label = f"{roc_auc_score(fake, score):.3f}  {detector}"
            ours = number == 0
            axis.plot(false, true, label=label, lw=2.6 if ours else 1.1, zorder=3 if ours else 2)
        axis.plot([0, 1], [0, 1], color="0.7", lw=0.8, ls="--")
        axis.set(title=name, xlabel="genuine users flagged", ylabel="fake users flagged")
        axis.set_aspect("equal")
        axis.legend(title="ROC AUC", loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=8)
    figure.savefig(path, dpi=80, bbox_inches="tight")
    return path
