"""The tables of the building blocks: what autoencoders do beside recommending."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from evaluation import (
    anomaly_tables,
    embedding_table,
    image_codec_table,
    steering_table,
    synthetic_table,
)
from evaluation.provenance import RESULTS


def sections() -> list[str]:
    """A section of docs/results.md for every result that is kept."""
    makers: dict[str, Callable[[dict[str, Any]], str]] = {
        "fashion_mnist_errors": errors,
        "fashion_mnist_likelihood": likelihood,
        "item-map": item_map,
        "image_codec": image_codec,
        **dict.fromkeys(
            ("embedding-compression-ml-1m-infae", "embedding-compression-gowalla"),
            lambda result: section(*embedding_table.compression(result)),
        ),
        "fake-profiles-labelled": lambda result: section(*anomaly_tables.labelled(result)),
        "fake-profiles-injected": lambda result: section(*anomaly_tables.injected(result)),
        "synthetic-users": lambda result: section(*synthetic_table.synthetic(result)),
        "steering": lambda result: section(*steering_table.steering(result)),
    }
    found = []
    for name, make in makers.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            found.append(make(json.loads(path.read_text(encoding="utf-8"))))
    return found


def errors(result: dict[str, Any]) -> str:
    """Fashion-MNIST: each kind against PCA."""
    return section(
        "Fashion-MNIST: four kinds against PCA",
        "`python -m evaluation fashion_mnist DATA --part errors`. Mean squared error a pixel on "
        "the 10,000 test images, pixels from 0 to 1; epochs and body chosen on "
        f"{result['held_out']:,} training images held out. The sparse kind has so many active of "
        "1,024 units, and PCA so many axes.\n\n"
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


def likelihood(result: dict[str, Any]) -> str:
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
    return section(
        "Fashion-MNIST: likelihood",
        "`python -m evaluation fashion_mnist DATA --part likelihood`. Minus log p(x) in nats of "
        "the binarised test images, importance-weighted with "
        f"{result['rows'][0]['samples']:,} samples, ± standard error over images. Published: "
        "Norouzi, Fleet & Norouzi 2020, two gated layers of 300, 40 codes, 5,000 samples; the "
        "protocol was read in the authors' code, the figures are from memory. The binarised test "
        "images are another draw.",
        ["model", "-log p(x)", "epochs", "fit"],
        [*ours, *theirs],
    )


def item_map(result: dict[str, Any]) -> str:
    """Maps of items: each model by each method."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result["maps"]:
        groups.setdefault((row["model"], row["method"]), []).append(row)

    def mean(rows: list[dict[str, Any]], name: str) -> str:
        return f"{sum(row[name] for row in rows) / len(rows):.3f}"

    return section(
        "MovieLens 1M: maps of items",
        "`python -m evaluation item_map DATA`. Trustworthiness at 10, and the share of an item's "
        "10 nearest on the map that have one of its genres, beside that of all pairs; means over "
        "seeds where chance is involved. No model is told the genres.\n\n"
        "![t-SNE](../evaluation/results/item-map-tsne.png)",
        ["model", "method", "maps", "items", "trustworthiness", "genre shared", "of all pairs"],
        [
            [
                f"`{model}`",
                method,
                str(len(rows)),
                f"{rows[0]['items']:,}",
                mean(rows, "trustworthiness"),
                mean(rows, "coherence"),
                mean(rows, "chance"),
            ]
            for (model, method), rows in groups.items()
        ],
    )


def image_codec(result: dict[str, Any]) -> str:
    """Fashion-MNIST: bytes and distortion beside JPEG and WebP."""
    head, rows = image_codec_table.HEAD, image_codec_table.rows(result)
    return section("Fashion-MNIST in few bytes", image_codec_table.text(result), head, rows)


def section(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading, some text and a table."""
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([f"## {title}\n", text + "\n", *lines, ""])
