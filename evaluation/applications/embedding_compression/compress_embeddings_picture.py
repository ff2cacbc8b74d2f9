"""The plot of docs/compress-embeddings.md: NDCG against bytes on the bundled MovieLens."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recae
from evaluation.applications.embedding_compression.vector_codecs import METHODS
from recae.apply.compress.embedding_codes import Space
from recae.report.canvas import COLOURS, MARKS, canvas, write

PATH = Path(__file__).parents[3] / "docs" / "pictures" / "compress-embeddings.png"
SIZES = (8, 12, 16, 32, 64)
SHOWN = ("PCA, bits by variance", "PCA, int8", "PCA, float16", "truncation")


def main(argv: Sequence[str] | None = None) -> int:
    """Compresses, measures and plots, with the model and the split of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PATH, help="path of the PNG")
    options = parser.parse_args(argv)
    ratings = recae.load_dataset("ml-latest-small").interactions
    data = ratings.filter(min_per_item=3, min_per_user=5)
    split = recae.StrongGeneralization(held_out=0.2).split(data)
    model = recae.PureSVD(latent=64).fit(split.train)
    vectors, users = model.item_embeddings_, model.embed_users(split.train)
    space = Space.of(vectors, users)
    seen, centred = space.inwards(vectors), vectors - space.centre

    def ndcg(rows: np.ndarray, inverse: np.ndarray) -> float:
        def score(histories: object) -> np.ndarray:
            return (model._embed_rows(histories).numpy() @ inverse @ rows.T).astype(np.float32)

        scorer = recae.evaluation.Scorer(score, model.items_)
        return recae.evaluate(scorer, split.test, ["ndcg@100"], progress=False)["ndcg@100"]

    plain = np.eye(vectors.shape[1])
    figure, axes = canvas(7, 4)
    lines: dict[str, list[tuple[int, float]]] = {"sparse codes": []}
    for size in SIZES:
        small = recae.apply.compress.compress_embeddings(vectors, size, users=users)
        point = small.bytes_per_item, ndcg(small.vectors(), plain)
        lines["sparse codes"].append(point)
        for name in SHOWN:
            rows, inverse = (centred, plain) if name == "truncation" else (seen, space.inverse)
            found = [codec(rows, size) for codec in METHODS[name].values()]
            best = max((ndcg(each.rows, inverse), each.item_bytes) for each in found if each)
            lines.setdefault(name, []).append((best[1], best[0]))
    for place, (name, points) in enumerate(lines.items()):
        width = 1.2 if place else 2.6
        axes.plot(
            *zip(*points, strict=True),
            label=name,
            marker=MARKS[place],
            color=COLOURS[place],
            lw=width,
        )
        print(name, *(f"{size} bytes {value:.4f}" for size, value in points))
    full = ndcg(vectors, plain)
    axes.axhline(full, color="#4c5560", ls=":", lw=1)
    axes.annotate(
        f"uncompressed, {4 * vectors.shape[1]} bytes: {full:.3f}",
        (24, full + 0.004),
        fontsize=8,
        ha="center",
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set_ylim(0.25, 0.41)
    axes.set_xlabel("bytes an item, without what all items share")
    axes.set_ylabel("NDCG@100 of held-out users")
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    print(f"drawn in {write(figure, options.out, overwrite=True)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
