"""Results of a race to a target quality: times, metrics, ratios, and the plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae

METRIC, K = "recall@20", 20


def summary(curve: Sequence[Mapping[str, Any]], target: float) -> dict[str, Any]:
    """The time when a side was best, and when it reached the target (None: never)."""
    best = max(curve, key=lambda line: line[METRIC])
    reached = next((line["seconds"] for line in curve if line[METRIC] >= target), None)
    return {
        "epochs": len(curve),
        "seconds": curve[-1]["seconds"],
        "best": best[METRIC],
        "seconds_to_best": best["seconds"],
        "seconds_to_target": reached,
    }


def tested(
    side: str, lists: np.ndarray, train: recae.Interactions, test: recae.Interactions
) -> float:
    """Recall@20 of lists of columns, a row for each user of train, by `recae.evaluate`."""
    known, unknown = test.with_items(train.items)
    if unknown:
        print(f"{unknown} test pairs have items that train lacks: they are dropped")
    rows, places = np.nonzero(lists >= 0)
    table = pd.DataFrame(
        {
            "user_id": train.users.ids[rows],
            "item_id": train.items.ids[lists[rows, places]],
            "rank": places + 1,
        }
    )
    fold = recae.Fold(train, known.with_users(train.users))
    report = recae.evaluate(
        recae.Lists(table, train=train, name=side, on_missing="empty"), fold, [METRIC]
    )
    return round(float(report[METRIC]), 6)


def ratios(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The times of the other sides divided by that of recae-fast to the target: RecBole to its own
    best and to the target if it reaches it, recae-plain to the target."""
    fast = found.get("recae-fast", {}).get("seconds_to_target")
    if not fast:
        return {}
    ratios = {}
    for side, line in found.items():
        if side.startswith("recbole"):
            ratios[f"{side} to its best / recae-fast"] = line["seconds_to_best"] / fast
        if side != "recae-fast" and line["seconds_to_target"]:
            ratios[f"{side} to the target / recae-fast"] = line["seconds_to_target"] / fast
    return {pair: round(ratio, 2) for pair, ratio in ratios.items()}


def in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each side, and for each ratio."""
    width = max(map(len, found))
    lines = []
    for side, line in found.items():
        reached = line["seconds_to_target"]
        lines.append(
            f"{side:<{width}}  validation {METRIC} {line['best']:.4f} after "
            f"{line['seconds_to_best']:.0f} s of {line['seconds']:.0f}, target "
            f"{'not reached' if reached is None else f'reached after {reached:.0f} s'}; "
            f"test {METRIC} {line['test']:.4f}"
        )
    lines += [f"{pair}: {ratio:.2f} times as long" for pair, ratio in ratios(found).items()]
    return "\n".join(lines)


def misses(line: Mapping[str, Any], published: float) -> bool:
    """Whether a side missed its target on validation, or the published value on the test."""
    return line["seconds_to_target"] is None or line["test"] < published


def plot(curves: Mapping[str, Sequence[Mapping[str, Any]]], target: float, path: Path) -> None:
    """Writes the picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side, curve in curves.items():
        seconds = [line["seconds"] for line in curve]
        recall = [line["recall@20"] for line in curve]
        axes.plot(seconds, recall, marker="o", markersize=3, label=side)
    axes.axhline(target, color="0.5", linestyle="--", linewidth=1)
    axes.annotate(
        f"target {target:g}",
        (1, target),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color="0.3",
    )
    axes.set_xscale("log")
    axes.set_xlabel("seconds since the raw table (log)")
    axes.set_ylabel("validation Recall@20")
    axes.set_title("Mult-VAE on Gowalla: time to quality")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)
