"""Fashion-MNIST: four kinds of autoencoder against PCA, and the likelihood of the variational."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.pictures import picture_of_images
from evaluation.kit.provenance import RESULTS, keep
from recae.system.progress import bar

NAME = "fashion_mnist"
HELD_OUT = 5_000
"""Number of training images for choosing epochs and settings. The test images are read once, at the
end."""

TRIED: dict[str, dict[str, Any]] = {
    "conv": dict(channels=(16, 32), hidden=(256,), activation="swish"),
    "mlp": dict(hidden=(512, 256), activation="swish"),
}
"""Network bodies for the vanilla kind, chosen on held-out images at one code size."""

PUBLISHED = {
    "VAE, Gaussian prior": 228.70,
    "VAE, VampPrior": 227.35,
    "Exemplar VAE": 226.75,
}
"""Minus log p(x) in nats on dynamically binarised Fashion-MNIST, MLPs with two layers of 300 gated
units and 40 codes, 5,000 importance samples (Norouzi, Fleet & Norouzi 2020, table 1). From memory:
the protocol was read in the authors' code, the table itself could not be opened."""


def kinds(size: int, epochs: int, body: dict[str, Any]) -> dict[str, Any]:
    """The four kinds with a code of this many numbers."""
    shared = dict(epochs=epochs, batch_size=128, lr=1e-3, patience=5)
    return {
        "vanilla": recae.Autoencoder(latent=size, **body, **shared),
        "denoising": recae.DenoisingAutoencoder(
            latent=size, noise="gaussian", amount=0.3, **body, **shared
        ),
        "sparse": recae.SparseAutoencoder(
            latent=1024, active=size, hidden=(), sparsity="top-k", **shared
        ),
        "variational": recae.VariationalAutoencoder(latent=size, **body, **shared),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables and stores them, with the pictures, in evaluation/results."""
    parser = argparse.ArgumentParser(prog=f"python -m evaluation {NAME}", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with train.npz and test.npz")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32], help="code sizes")
    parser.add_argument(
        "--epochs", type=int, default=30, help="largest number of epochs of each fit"
    )
    parser.add_argument(
        "--density-epochs",
        type=int,
        default=150,
        help="largest number of epochs for the likelihood",
    )
    parser.add_argument("--samples", type=int, default=2000, help="importance samples per image")
    parser.add_argument(
        "--part", choices=("errors", "likelihood"), help="run only one of the two parts"
    )
    parser.add_argument(
        "--rows", type=int, default=None, help="number of training images (default: all)"
    )
    args = parser.parse_args(argv)
    train, valid, test, labels = read(args.data, args.rows)
    if args.part != "likelihood":
        errors = reconstruction(train, valid, test, labels, args.sizes, args.epochs)
        keep(f"{NAME}_errors", errors)
        print("\nmean squared error a pixel on the test images, pixels from 0 to 1")
        for row in errors["rows"]:
            print(
                f"  {row['kind']:<12} {row['size']:>3} numbers  {row['mse']:.5f}  "
                f"explained {row['explained']:.4f}  PCA {row['pca']:.5f}  ratio {row['ratio']:.3f}"
            )
    if args.part != "errors":
        density = likelihood(train, valid, test, args.density_epochs, args.samples)
        keep(f"{NAME}_likelihood", density | {"published": PUBLISHED})
        print("\n-log p(x) in nats of the binarised test images")
        for row in density["rows"]:
            print(f"  {row['prior']:<10} {row['nll']:.2f} +- {row['standard_error']:.2f}")
        for name, value in PUBLISHED.items():
            print(f"  published (from memory): {name} {value:.2f}")
    return 0


def read(folder: Path, rows: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train, held-out and test images (n, 28, 28) float32 from 0 to 1, and the test labels."""
    files = {part: np.load(folder / f"{part}.npz") for part in ("train", "test")}
    images = files["train"]["images"].astype(np.float32) / 255
    order = np.random.default_rng(0).permutation(len(images))
    train, valid = images[order[HELD_OUT:]][:rows], images[order[:HELD_OUT]]
    test = files["test"]["images"].astype(np.float32) / 255
    return train, valid, test, files["test"]["labels"]


def reconstruction(
    train: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    labels: np.ndarray,
    sizes: Sequence[int],
    epochs: int,
) -> dict[str, Any]:
    """Errors of every kind and of PCA at the same code sizes."""
    chosen, tried = choose(train, valid, sizes[len(sizes) // 2], epochs)
    principal = Principal(train)
    rows, shown = [], {}
    fits = [(s, k, m) for s in sizes for k, m in kinds(s, epochs, TRIED[chosen]).items()]
    with bar(len(fits), "Fashion-MNIST", "fit", None) as progress:
        for size, kind, model in fits:
            started = time.perf_counter()
            model.fit(train, validation=valid, progress=False)
            seconds = time.perf_counter() - started
            mse = float(model.reconstruction_error(test).mean(dtype=np.float64))
            pca = principal.error(test, size)
            row = {
                "kind": kind,
                "size": size,
                "mse": mse,
                "pca": pca,
                "ratio": mse / pca,
                "explained": model.explained_variance(test),
                "epochs": len(model.epochs_),
                "seconds": seconds,
                "model": repr(model),
            }
            rows.append(row)
            print(row, flush=True)
            progress.update()
            shown[kind, size] = model
    pictures(shown, principal, test, labels, max(sizes))
    return {"chosen": chosen, "tried": tried, "rows": rows, "held_out": HELD_OUT}


def choose(
    train: np.ndarray, valid: np.ndarray, size: int, epochs: int
) -> tuple[str, dict[str, float]]:
    """The body whose vanilla kind has the lowest error on the held-out images."""
    found = {}
    for name, body in TRIED.items():
        model = recae.Autoencoder(latent=size, epochs=max(epochs // 4, 1), **body)
        model.fit(train, validation=valid, progress=False)
        found[name] = float(model.reconstruction_error(valid).mean(dtype=np.float64))
        print(f"held-out error of {name}: {found[name]:.5f}", flush=True)
    return min(found, key=found.__getitem__), found


class Principal:
    """PCA of images, exact: the eigenvectors of their covariance."""

    def __init__(self, images: np.ndarray) -> None:
        rows = images.reshape(len(images), -1).astype(np.float64)
        self.mean = rows.mean(0)
        self.axes = np.linalg.eigh(np.cov(rows.T))[1][:, ::-1]

    def reconstruct(self, images: np.ndarray, size: int) -> np.ndarray:
        """Images projected on the first `size` axes and reconstructed."""
        rows = images.reshape(len(images), -1) - self.mean
        axes = self.axes[:, :size]
        return (rows @ axes @ axes.T + self.mean).reshape(images.shape)

    def error(self, images: np.ndarray, size: int) -> float:
        """The mean squared error a pixel."""
        return float(np.square(self.reconstruct(images, size) - images).mean())


def likelihood(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, epochs: int, samples: int
) -> dict[str, Any]:
    """-log p(x) of binarised test images under a VAE as in the published rows, two priors."""
    generator = np.random.default_rng(777)
    held_out, binary = ((generator.random(x.shape) < x) * np.float32(1) for x in (valid, test))
    rows = []
    for prior, components in (("standard", 1), ("vamp", 500)):
        model = recae.VariationalAutoencoder(
            latent=40,
            hidden=(300, 300),
            activation="swish",
            loss="logistic",
            binarise=True,
            prior=prior,
            components=components,
            epochs=epochs,
            patience=10,
            lr=5e-4,
            batch_size=100,
            anneal=0.1,
        )
        started = time.perf_counter()
        model.fit(train, validation=held_out)
        seconds = time.perf_counter() - started
        found = -model.log_likelihood(binary, samples=samples).astype(np.float64)
        error = float(found.std(ddof=1) / np.sqrt(len(found)))
        row = {
            "prior": prior,
            "nll": float(found.mean()),
            "standard_error": error,
            "epochs": len(model.epochs_),
            "seconds": seconds,
            "samples": samples,
            "model": repr(model),
        }
        rows.append(row)
        print(row, flush=True)
    return {"rows": rows}


def pictures(
    models: dict[tuple[str, int], Any],
    principal: Principal,
    test: np.ndarray,
    labels: np.ndarray,
    size: int,
) -> None:
    """Writes pictures of reconstructions, samples and interpolations next to the results."""
    first = np.array([np.flatnonzero(labels == label)[0] for label in range(10)])
    rows = {"original": test[first], f"PCA {size}": principal.reconstruct(test[first], size)}
    for kind in ("vanilla", "denoising", "sparse", "variational"):
        rows[f"{kind} {size}"] = models[kind, size].reconstruct(test[first])
    picture_of_images(rows, RESULTS / f"{NAME}_reconstructions.png")
    variational = models["variational", size]
    drawn = variational.sample(60, seed=1)
    rows = {f"samples {i + 1}": drawn[i * 10 : i * 10 + 10] for i in range(6)}
    picture_of_images(rows, RESULTS / f"{NAME}_samples.png")
    pairs = [(0, 5), (9, 7), (1, 3), (8, 4), (2, 6)]
    rows = {
        f"morph {a} to {b}": variational.interpolate(test[first[a]], test[first[b]], 10)
        for a, b in pairs
    }
    picture_of_images(rows, RESULTS / f"{NAME}_morphs.png")
