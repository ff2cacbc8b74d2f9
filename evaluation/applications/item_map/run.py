"""Maps of items: how many true neighbours and how much of the genres each method shows.

    python -m evaluation item_map DATA

DATA is ml-1m (ratings.parquet with user, item and rating, movies.parquet with item, title and
genres), or its parent folder. Items are embedded by models with default settings, fitted on ratings
of 4 and more. The maps are made by t-SNE, by principal components, and by an autoencoder with a
code of two numbers. Trustworthiness at 10 is measured against the mapped vectors. Genre coherence
is the share of an item's 10 nearest items on the map that have one of its genres, compared with the
share over all pairs. Genres are used for nothing else. Random parts run with three seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import recae
from evaluation.kit.provenance import RESULTS, keep
from recae.apply.maps import trustworthiness
from recae.apply.maps.vectors import item_vectors, prepared

K = 10
MODELS: list[recae.Recommender] = [recae.MultVAE(), recae.ELSA(), recae.EASE()]


def main(argv: Sequence[str] | None = None) -> int:
    """Fits, maps, measures, prints and stores the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(argv)
    folder = options.data if (options.data / "movies.parquet").is_file() else options.data / "ml-1m"
    films = pd.read_parquet(folder / "movies.parquet").rename(columns={"item": "item_id"})
    data = recae.read_parquet(
        folder / "ratings.parquet", user="user", item="item", weight="rating", min_weight=4
    ).binarised()
    print(data)
    rows = []
    for model in MODELS:
        rows += measure(model.fit(data), films, options.seeds)
    table = pd.DataFrame(rows)
    grouped = table.groupby(["model", "method"], sort=False)
    shown = grouped.agg(
        trustworthiness=("trustworthiness", "mean"),
        coherence=("coherence", "mean"),
        lowest=("coherence", "min"),
        highest=("coherence", "max"),
        chance=("chance", "mean"),
        seconds=("seconds", "median"),
    )
    print(shown.to_string(float_format="%.3f"))
    suite = f"maps of items, {len(data.items):,} items, genre coherence at {K}"
    print(f"kept in {keep('item-map', {'suite': suite, 'data': repr(data), 'maps': rows})}")
    return 0


def measure(model: recae.Recommender, films: pd.DataFrame, seeds: int) -> list[dict[str, object]]:
    """A row for each map of a fitted model; the maps of MultVAE with the first seed are plotted."""
    name, rows = type(model).__name__, []
    for method in ("tsne", "pca", "autoencoder", "tsne, popularity kept"):
        for seed in range(seeds if method in ("tsne", "autoencoder") else 1):
            started = time.perf_counter()
            if method == "autoencoder":
                drawn = by_autoencoder(model, films, seed)
            elif method in ("tsne", "pca"):
                drawn = recae.apply.maps.map_items(model, films, method=method, seed=seed)
            else:
                drawn = recae.apply.maps.map_items(model, films, remove_popularity=False)
            seconds = time.perf_counter() - started
            found = drawn.coherence("genres", K)
            row = {
                "model": repr(model),
                "method": method,
                "seed": seed,
                "items": len(drawn.ids),
                "trustworthiness": round(float(drawn.provenance["trustworthiness"]), 4),
                "coherence": round(found.share, 4),
                "chance": round(found.chance, 4),
                "seconds": round(seconds, 1),
            }
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row)
            if not seed and name == "MultVAE" and method in ("tsne", "pca", "autoencoder"):
                drawn.plot(RESULTS / f"item-map-{method}.png", colour="genres", overwrite=True)
    return rows


def by_autoencoder(
    model: recae.Recommender, films: pd.DataFrame, seed: int
) -> recae.apply.maps.Map:
    """The same vectors, mapped by the code of an autoencoder with two numbers."""
    drawn = recae.apply.maps.map_items(model, films, method="pca", seed=seed)
    places = model.items_.encode(drawn.ids)
    vectors = item_vectors(model)[0][places]
    ready = prepared(vectors, "cosine", model.item_counts_[places])
    rows = (ready / ready.std()).astype(np.float32)
    net = recae.Autoencoder(latent=2, epochs=200).fit(rows, seed=seed)
    positions = np.asarray(net.transform(rows), dtype=np.float64)
    said = dict(drawn.provenance) | {"trustworthiness": trustworthiness(ready, positions, K)}
    return replace(drawn, positions=positions, method="autoencoder", provenance=said)


if __name__ == "__main__":
    raise SystemExit(main())
