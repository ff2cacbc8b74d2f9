"""Cost of an epoch as the catalogue or the interactions grow: full and sampled softmax.

    python -m evaluation.speed scaling
    python -m evaluation.speed scaling --items 3000 6000 --interactions 20000 40000 --users 2000
        --at 5000 --rounds 2                    # a dry run

Histories are synthetic (`evaluation/kit/synthetic.py`). The first curve keeps users and
interactions and grows the catalogue. The second keeps the catalogue (`--at`) and grows users and
interactions together, so that the length of histories stays the same. The points alternate, one
epoch each per round, after a first epoch that is not counted. A slope is the exponent of a power
law through the medians, by least squares: 0 is flat, 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

import recae
from evaluation.kit.harness import arguments
from evaluation.kit.provenance import RESULTS, keep, peak_gb
from evaluation.kit.synthetic import shape
from evaluation.speed.stepwise import Stepwise
from recae.report.canvas import COLOURS, MARKS, canvas, write

ITEMS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
INTERACTIONS = (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000)

Curve = Mapping[int, Sequence[float]]
"""Seconds of the counted epochs, by the size of the point."""
Curves = dict[str, dict[str, Curve]]
"""Seconds by the growing quantity, then by the softmax."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints both curves. Stores and plots them at full size, or plots them to the given path."""
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    whole = max(options.items) >= max(ITEMS)
    points = {
        "items": {items: (options.users, items) for items in options.items},
        "interactions": {n: (n // options.mean, options.at) for n in options.interactions},
    }
    curves: Curves = {by: measure(by, some, options) for by, some in points.items()}
    slopes = {
        f"{output} by {by}": exponent(curve)
        for by, of in curves.items()
        for output, curve in of.items()
    }
    for by, of in curves.items():
        for output, curve in of.items():
            print(f"\n{output} softmax: slope {slopes[f'{output} by {by}']:.2f}")
            for size, seconds in curve.items():
                print(f"  {size:>10,} {by}  {statistics.median(seconds):8.3f} s")
    print(f"\npeak memory {peak_gb():.2f} GB, with all points of a curve held at once")
    result = {
        "suite": "cost of an epoch",
        "options": {**vars(options), "picture": None},
        "slopes": slopes,
        "seconds": curves,
        "peak_gb": peak_gb(),
    }
    if whole:
        print(f"kept in {keep('speed-scaling', result)}")
    else:
        print(json.dumps(slopes))
    if whole or options.picture:
        print(draw(curves, slopes, options, options.picture or RESULTS / "speed-scaling.png"))
    return 0


def measure(
    by: str, points: Mapping[int, tuple[int, int]], options: argparse.Namespace
) -> dict[str, Curve]:
    """Seconds of the epochs of every point, for both softmaxes."""
    running: dict[tuple[str, int], Stepwise] = {}
    for size, (users, items) in points.items():
        data = recae.Interactions.from_csr(shape(users, items, users * options.mean))
        for output in ("sampled", "full"):
            if output == "full" and users * items > options.full_cells:
                continue
            if output == "sampled" and items <= options.samples:
                continue
            running[output, size] = training(data, output, options)
    seconds: dict[tuple[str, int], list[float]] = {point: [] for point in running}
    for number in range(-1, options.rounds):
        order = list(running)[:: 1 if number % 2 == 0 else -1]
        for output, size in order:
            epoch = running[output, size].epoch()
            if number >= 0:
                seconds[output, size].append(round(epoch.seconds, 4))
                print(f"  round {number + 1}  {output} {size:,} {by}: {epoch.seconds:.2f} s")
    for one in running.values():
        one.stop()
    found: dict[str, Curve] = {
        output: {size: some for (of, size), some in seconds.items() if of == output}
        for output in dict.fromkeys(output for output, _ in running)
    }
    return {
        output: curve for output, curve in found.items() if len(curve) > 1
    }  # a curve needs two points


def training(data: recae.Interactions, output: str, options: argparse.Namespace) -> Stepwise:
    """A model in training, an epoch at a time."""
    model = recae.MultVAE(
        hidden=(options.width,),
        latent=options.width,
        batch_size=options.batch_size,
        epochs=options.rounds + 2,  # the last epoch never starts
        softmax=output,
        num_sampled=options.samples,
    )
    return Stepwise(lambda wait: model.fit(data, callbacks=wait, progress=False))


def exponent(curve: Curve) -> float:
    """The slope of the power law through the medians; NaN for a single point."""
    if len(curve) < 2:
        return float("nan")
    medians = [statistics.median(seconds) for seconds in curve.values()]
    return round(float(np.polyfit(np.log(list(curve)), np.log(medians), 1)[0]), 3)


def draw(
    curves: Curves, slopes: Mapping[str, float], options: argparse.Namespace, path: Path
) -> Path:
    """Plots both curves side by side, with logarithmic axes."""
    figure, _ = canvas(10, 4.2, layout="constrained")
    figure.clear()
    fixed = {
        "items": f"items, with {options.users * options.mean:,} interactions",
        "interactions": f"interactions, with {options.at:,} items",
    }
    for axes, (by, of) in zip(figure.subplots(1, 2, sharey=True), curves.items(), strict=True):
        for number, (output, curve) in enumerate(of.items()):
            sizes, seconds = list(curve), [statistics.median(some) for some in curve.values()]
            colour = COLOURS[number]
            axes.plot(sizes, seconds, color=colour, marker=MARKS[number], linewidth=2)
            axes.annotate(
                f"{output}, slope {slopes[f'{output} by {by}']:.2f}",
                (sizes[-1], seconds[-1]),
                xytext=(0, 9),
                textcoords="offset points",
                ha="right",
                color=colour,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.set_xlabel(fixed[by])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("seconds an epoch")
    figure.suptitle(
        f"Mult-VAE, width {options.width}, batches of {options.batch_size} users, "
        f"{options.samples:,} items sampled for each"
    )
    return write(figure, path, overwrite=True)


def parser() -> argparse.ArgumentParser:
    """The command-line options."""
    made = arguments(__doc__, rounds=5)
    made.add_argument("--items", type=int, nargs="+", default=ITEMS, help="the first curve")
    made.add_argument("--users", type=int, default=50_000, help="of the first curve")
    made.add_argument("--mean", type=int, default=20, help="interactions of a user")
    made.add_argument(
        "--interactions", type=int, nargs="+", default=INTERACTIONS, help="the second curve"
    )
    made.add_argument("--at", type=int, default=100_000, help="items of the second curve")
    made.add_argument(
        "--full-cells", type=float, default=2e10, help="most users x items of a full softmax"
    )
    made.add_argument("--width", type=int, default=64, help="of the code and the hidden layer")
    made.add_argument("--batch-size", type=int, default=500, help="users an update")
    made.add_argument("--samples", type=int, default=2000, help="items drawn for an update")
    made.add_argument("--picture", type=Path, help="path of the plot")
    return made


if __name__ == "__main__":
    raise SystemExit(main())
