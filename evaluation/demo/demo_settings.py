"""Chooses the settings of the demo: a small grid for each model, on the validation users.

    python -m evaluation demo_settings

Uses the bundled MovieLens and never looks at the test users. The best settings are committed in
`evaluation/demo/run.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import recae
from evaluation.demo.run import METRICS, load_split
from evaluation.kit.grid import Grid, choose

GRIDS: list[tuple[recae.Recommender, Grid]] = [
    (recae.ALS(), {"latent": (16, 32, 64), "l2": (1.0, 10.0, 50.0), "alpha": (3.0, 10.0)}),
    (recae.EASE(), {"l2": (50.0, 100.0, 200.0, 500.0)}),
    (recae.MultDAE(), {"latent": (50, 200), "l2": (0.0, 1e-4)}),
    (recae.MultVAE(), {"hidden": ((200,), (600,)), "beta": (0.2, 1.0)}),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints every trial and the best one of each model."""
    _, _, split = load_split()
    best = [choose(model, grid, split, METRICS[0], seed=0)[0] for model, grid in GRIDS]
    print("\nbest on validation:")
    for model in best:
        print(f"  {model!r}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
