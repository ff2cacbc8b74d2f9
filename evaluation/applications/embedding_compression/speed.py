"""Search times: sparse codes, float32 products and faiss PQ, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import recae
from evaluation.applications.embedding_compression.vector_codecs import product_quantiser
from recae.ranking.top_k import top_k

ROUNDS = 7
K = 10


def speed(model: recae.Recommender, train: recae.Interactions, size: int) -> dict[str, Any]:
    """Median seconds over ROUNDS of the K best of all items, for 1 query and for 256.

    The methods alternate. PQ is faiss' IndexPQ by inner product, with distance tables.
    """
    import faiss

    vectors = np.array(model.item_embeddings_)
    users = model.embed_users(train)
    small = recae.apply.compress.compress_embeddings(vectors, size, users=users, epochs=1, rounds=1)
    index, dense = small.index(), torch.from_numpy(vectors)
    width = -(-vectors.shape[1] // size) * size
    padded = np.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
    quantised = faiss.IndexPQ(width, size, 8, faiss.METRIC_INNER_PRODUCT)
    quantised.pq = product_quantiser(padded, size, 8)
    quantised.is_trained = True
    quantised.add(padded)

    def by_product(queries: np.ndarray) -> Any:
        return top_k(torch.from_numpy(queries) @ dense.t(), K, overwrite=True)

    def by_faiss(queries: np.ndarray) -> Any:
        return quantised.search(np.pad(queries, ((0, 0), (0, width - queries.shape[1]))), K)

    ways: dict[str, Callable[[np.ndarray], Any]] = {
        "float32 products": by_product,
        "sparse codes": lambda queries: index.search(queries, K),
        "faiss PQ": by_faiss,
    }
    threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    found: dict[str, Any] = {"rounds": ROUNDS, "k": K, "items": len(vectors), "bytes": size}
    try:
        for count in (1, 256):
            queries = np.ascontiguousarray(users[:count])
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    started = time.perf_counter()
                    way(queries)
                    taken[name].append(time.perf_counter() - started)
            found[f"{count} queries"] = {n: float(np.median(each)) for n, each in taken.items()}
    finally:
        torch.set_num_threads(threads[0])
        faiss.omp_set_num_threads(threads[1])
    return found | {
        "active": small.active,
        "index_bytes": index.n_bytes,
        "float32_bytes": int(vectors.nbytes),
    }
