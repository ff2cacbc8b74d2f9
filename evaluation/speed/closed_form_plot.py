"""Plots seconds and memory of an inverse against the number of items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plot(sizes: Mapping[str, Any], path: Path) -> None:
    """Plots the results of `closed_form`. sizes maps the number of items to its sides."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    names = list(dict.fromkeys(side for found in sizes.values() for side in found["sides"]))
    for name in names:
        there = [int(n) for n, found in sizes.items() if name in found["sides"]]
        sides = [sizes[str(n)]["sides"][name] for n in there]
        left.plot(there, [side["median_seconds"] for side in sides], "o-", label=name)
        right.plot(there, [side["matrices"] for side in sides], "o-", label=name)
    left.set(xscale="log", yscale="log", xlabel="items", ylabel="seconds of the inverse")
    right.set(xscale="log", xlabel="items", ylabel="peak memory above imports, in matrices")
    right.set_ylim(bottom=0)
    right.axhline(1.25, color="grey", linestyle=":", linewidth=1)
    left.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
