"""The tables of Fashion-MNIST in docs/results.md."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table


def errors(result: dict[str, Any]) -> Table:
    """Fashion-MNIST: each kind against PCA."""
    return (
        "Fashion-MNIST: four kinds against PCA",
        "`python -m evaluation fashion_mnist DATA --part errors`. Mean squared error per pixel on "
        "the 10,000 test images, pixels from 0 to 1. Epochs and body are chosen on "
        f"{result['held_out']:,} held-out training images. Numbers: size of the code, active units "
        "(of 1,024) for the sparse kind, axes for PCA.\n\n"
        "![Reconstructions](../evaluation/results/fashion_mnist_reconstructions.png)\n"
        "![Samples](../evaluation/results/fashion_mnist_samples.png)\n"
        "![Morphs](../evaluation/results/fashion_mnist_morphs.png)",
        ["numbers", "kind", "error", "PCA", "ratio", "variance explained", "epochs", "fit"],
        [
            [
                str(row["size"]),
                row["kind"],
                f"{row['mse']:.5f}",
                f"{row['pca']:.5f}",
                f"{row['ratio']:.3f}",
                f"{row['explained']:.4f}",
                str(row["epochs"]),
                f"{row['seconds']:.0f} s",
            ]
            for row in result["rows"]
        ],
    )


def likelihood(result: dict[str, Any]) -> Table:
    """Fashion-MNIST: the likelihood of the variational kind."""
    ours = [
        [
            f"ours, {row['prior']} prior",
            f"{row['nll']:.2f} ± {row['standard_error']:.2f}",
            str(row["epochs"]),
            f"{row['seconds']:.0f} s",
        ]
        for row in result["rows"]
    ]
    theirs = [[f"published: {name}", f"{v:.2f}", "", ""] for name, v in result["published"].items()]
    return (
        "Fashion-MNIST: likelihood",
        "`python -m evaluation fashion_mnist DATA --part likelihood`. Minus log p(x) in nats of "
        "the binarised test images, importance-weighted with "
        f"{result['rows'][0]['samples']:,} samples, ± standard error over images. Published: "
        "Norouzi, Fleet & Norouzi 2020, two gated layers of 300, 40 codes, 5,000 samples; the "
        "protocol was read in the authors' code, the figures are from memory. The test images were "
        "binarised with another random draw.",
        ["model", "-log p(x)", "epochs", "fit"],
        [*ours, *theirs],
    )
