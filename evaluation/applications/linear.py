"""Explained variance of `Autoencoder` at its defaults beside PCA, on data of scikit-learn.

    python -m evaluation linear
    python -m evaluation linear --latent 5

Four data sets that scikit-learn bundles: iris, wine, breast cancer, digits. With hidden=() an
`Autoencoder` is linear, so that PCA is its optimum; the default has a hidden layer and may explain
more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.datasets
from sklearn.decomposition import PCA

import recae

SETS = ("iris", "wine", "breast_cancer", "digits")


def explained(rows: np.ndarray, latent: int) -> dict[str, tuple[float, float]]:
    """The explained variance of PCA, of the linear and of the default autoencoder, and seconds."""

    def measured(model: Any) -> tuple[float, float]:
        started = time.perf_counter()
        model.fit(rows, progress=False)
        seconds = time.perf_counter() - started
        return model.explained_variance(rows), seconds

    started = time.perf_counter()
    share = float(PCA(latent, svd_solver="full").fit(rows).explained_variance_ratio_.sum())
    return {
        "PCA": (share, time.perf_counter() - started),
        "hidden=()": measured(recae.Autoencoder(latent=latent, hidden=())),
        "default": measured(recae.Autoencoder(latent=latent)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each data set and model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent", type=int, default=2, help="width of the code (2)")
    options = parser.parse_args(argv)
    print(f"explained variance with {options.latent} dimensions (seconds of fit)")
    for name in SETS:
        rows = getattr(sklearn.datasets, f"load_{name}")().data
        found = explained(rows, min(options.latent, rows.shape[1]))
        cells = [f"{model} {share:.4f} ({took:.2f} s)" for model, (share, took) in found.items()]
        print(f"  {name:<14} {rows.shape[0]:>5} x {rows.shape[1]:<3} {'   '.join(cells)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
