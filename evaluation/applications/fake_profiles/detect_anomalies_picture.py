"""The plot of docs/detect-anomalies.md: profiles injected into the bundled MovieLens."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recae

PATH = Path(__file__).parents[3] / "docs" / "pictures" / "detect-anomalies.png"
KINDS = {"choice": "#4477aa", "rating": "#ccbb44", "co_rating": "#ee6677"}


def main(argv: Sequence[str] | None = None) -> int:
    """Detects, and plots scores and evidence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PATH, help="path of the PNG")
    options = parser.parse_args(argv)
    ratings = recae.load_dataset("ml-latest-small").interactions
    planted = recae.apply.anomaly.inject_profiles(
        ratings, "average", share=0.05, filler=100, seed=1
    )
    found = recae.apply.anomaly.detect_profiles(planted.data, false_alarm_rate=0.01)
    options.out.parent.mkdir(exist_ok=True)
    print(f"drawn in {draw(found, planted.is_fake, options.out)}")
    return 0


def draw(found: recae.apply.anomaly.Profiles, fake: np.ndarray, path: Path) -> Path:
    """Writes the PNG: a histogram of scores, and the evidence for the 50 highest scores."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    score = np.sqrt(found.users["score"].to_numpy())
    edges = np.linspace(0, score.max(), 41)
    left.hist(score[~fake], edges, color="0.6", label=f"{(~fake).sum()} genuine users")
    left.hist(score[fake], edges, color="#aa3377", label=f"{fake.sum()} planted profiles")
    left.axvline(np.sqrt(found.threshold), color="k", lw=1, ls="--")
    left.text(np.sqrt(found.threshold), 0.6, " flagged", transform=left.get_xaxis_transform())
    left.set(yscale="log", xlabel="square root of the score", ylabel="users")
    left.legend(frameon=False)
    top = found.users.assign(fake=fake).sort_values("rank").head(50)
    base, place = np.zeros(len(top)), np.arange(1, len(top) + 1)
    for kind, colour in KINDS.items():
        right.bar(place, top[kind], bottom=base, color=colour, label=kind, width=0.9)
        base += top[kind].to_numpy()
    planted = place[top["fake"].to_numpy()]
    right.plot(planted, np.full(len(planted), -0.25), "^", color="#aa3377", ms=4, label="planted")
    right.set(xlabel="rank", ylabel="score", xlim=(0, 51), ylim=(-0.6, 1.08 * base.max()))
    right.legend(frameon=False)
    figure.savefig(path, dpi=100)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
