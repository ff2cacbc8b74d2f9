"""The other methods of `embedding_compression` to compress item vectors.

Each takes rows (n, d) float32 and bytes per item. It returns the decoded rows, the actual bytes per
item, and the bytes that all items share (axes, codebooks, scales; axes and codebooks count in half
precision, though faiss keeps twice that). Rows are centred, and transformed to the space where
squared errors equal those of users' scores if the caller asks for it: all methods get the same
transformation. Only product quantisation needs faiss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SEED = 0
OPQ_ROUNDS = 10
OPQ_ITEMS = 16384
"""Largest number of rows for learning the rotation of OPQ; its codebooks use all rows."""


class Decoded(NamedTuple):
    """rows: decoded, (n, d) float32; bytes per item; bytes that all items share."""

    rows: np.ndarray
    item_bytes: int
    shared_bytes: int


Codec = Callable[[np.ndarray, int], "Decoded | None"]


def truncated(rows: np.ndarray, size: int) -> Decoded:
    """The dimensions of the largest variance, in half precision."""
    return _kept(rows, np.argsort(-rows.var(axis=0), kind="stable")[: size // 2])


def leading(rows: np.ndarray, size: int) -> Decoded:
    """The first dimensions, in half precision: the largest ones of singular vectors."""
    return _kept(rows, np.arange(rows.shape[1])[: size // 2])


def pca_half(rows: np.ndarray, size: int) -> Decoded:
    """Leading principal axes, in half precision."""
    axes = _axes(rows)[:, : size // 2]
    out = (rows @ axes).astype(np.float16).astype(np.float32) @ axes.T
    return Decoded(out, 2 * axes.shape[1], 2 * axes.size)


def pca_int8(rows: np.ndarray, size: int) -> Decoded:
    """Leading principal axes, one byte each, with a scale for each axis."""
    axes = _axes(rows)[:, :size]
    values = rows @ axes
    scales = _scales(values, 0, 127)
    out = (np.round(values / scales) * scales) @ axes.T
    return Decoded(out, axes.shape[1], 2 * axes.size + 4 * axes.shape[1])


def pca_int8_by_item(rows: np.ndarray, size: int) -> Decoded:
    """The same with a scale for each item, in two of its bytes."""
    axes = _axes(rows)[:, : size - 2]
    values = rows @ axes
    scales = _scales(values, 1, 127).astype(np.float16).astype(np.float32)
    scales[scales == 0] = 1
    out = np.clip(np.round(values / scales), -127, 127) * scales @ axes.T
    return Decoded(out, axes.shape[1] + 2, 2 * axes.size)


def pca_bits(rows: np.ndarray, size: int) -> Decoded:
    """All principal axes, with bits allocated by variance (Huang & Schultheiss 1963).

    Each axis has its own table: quantiles refined to cell means (Lloyd 1982).
    """
    axes = _axes(rows)
    values = rows @ axes
    left, bits = values.var(axis=0), np.zeros(values.shape[1], dtype=int)
    for _ in range(8 * size):
        best = int(np.argmax(np.where(bits < 8, left, -1)))
        if bits[best] == 8:
            break
        bits[best] += 1
        left[best] /= 4
    out = np.zeros_like(values)
    for axis in np.flatnonzero(bits):
        out[:, axis] = _rounded(values[:, axis], 2 ** bits[axis])
    used = np.flatnonzero(bits)
    tables = int((2 ** bits[used]).sum())
    return Decoded(out @ axes.T, -(-int(bits.sum()) // 8), 2 * len(rows.T) * len(used) + 4 * tables)


def scalar(bits: int) -> Codec:
    """Every dimension unchanged, in this many bits, with a scale for each."""

    def codec(rows: np.ndarray, size: int) -> Decoded | None:
        needed = -(-rows.shape[1] * bits // 8)
        if needed > size:
            return None
        most = 2 ** (bits - 1) - 1
        scales = _scales(rows, 0, most)
        out = np.clip(np.round(rows / scales), -most, most) * scales
        return Decoded(out.astype(np.float32), needed, 4 * rows.shape[1])

    return codec


def product(bits: int = 8, *, rotated: bool = False) -> Codec:
    """Product quantisation (Jegou, Douze & Schmid 2011), with `rotated` after the rotation of OPQ
    (Ge et al. 2013); by faiss."""

    def codec(rows: np.ndarray, size: int) -> Decoded | None:
        import faiss

        n, width = rows.shape
        parts = min(8 * size // bits, width)
        padded = np.zeros((n, -(-width // parts) * parts), dtype=np.float32)
        padded[:, :width] = rows
        shared = padded.shape[1] * 2**bits * 2
        rotation = None
        if rotated:
            rotation = faiss.OPQMatrix(padded.shape[1], parts)
            inner = faiss.ProductQuantizer(padded.shape[1], parts, bits)
            inner.cp.min_points_per_centroid = (
                1  # otherwise faiss warns, for every codebook and round
            )
            rotation.niter, rotation.pq = OPQ_ROUNDS, inner
            few = np.random.default_rng(SEED).permutation(n)[:OPQ_ITEMS]
            rotation.train(np.ascontiguousarray(padded[few]))
            padded, shared = rotation.apply(padded), shared + 2 * padded.shape[1] ** 2
        quantiser = product_quantiser(padded, parts, bits)
        out = quantiser.decode(quantiser.compute_codes(padded))
        out = out if rotation is None else rotation.reverse_transform(out)
        return Decoded(out[:, :width], -(-parts * bits // 8), shared)

    return codec


def product_quantiser(rows: np.ndarray, parts: int, bits: int) -> Any:
    """A trained faiss.ProductQuantizer, each of whose codebooks saw all rows."""
    import faiss

    quantiser = faiss.ProductQuantizer(rows.shape[1], parts, bits)
    quantiser.cp.max_points_per_centroid, quantiser.cp.min_points_per_centroid = len(rows), 1
    quantiser.train(rows)
    return quantiser


METHODS: dict[str, dict[str, Codec]] = {
    "truncation": {"largest variance": truncated, "first": leading},
    "PCA, float16": {"float16": pca_half},
    "PCA, int8": {"a scale an axis": pca_int8, "a scale an item": pca_int8_by_item},
    "PCA, bits by variance": {"Lloyd": pca_bits},
    "scalar": {"8 bits": scalar(8), "4 bits": scalar(4), "2 bits": scalar(2)},
    "PQ": {"8 bits": product(8), "4 bits": product(4)},
    "OPQ": {"8 bits": product(8, rotated=True)},
}
"""Maps a method to its variants; each budget takes the best variant."""


def _kept(rows: np.ndarray, kept: np.ndarray) -> Decoded:
    out = np.zeros_like(rows)
    out[:, kept] = rows[:, kept].astype(np.float16)
    return Decoded(out, 2 * len(kept), 2 * len(kept))


def _axes(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    axes: np.ndarray = np.linalg.eigh(wide.T @ wide)[1][:, ::-1].astype(np.float32)
    return axes


def _scales(values: np.ndarray, axis: int, most: int) -> np.ndarray:
    scales: np.ndarray = np.abs(values).max(axis=axis, keepdims=True) / most
    return np.where(scales > 0, scales, 1).astype(np.float32)


def _rounded(values: np.ndarray, levels: int) -> np.ndarray:
    table = np.quantile(values, (np.arange(levels) + 0.5) / levels).astype(np.float64)
    for _ in range(30):
        place = np.searchsorted((table[1:] + table[:-1]) / 2, values)
        count = np.bincount(place, minlength=levels)
        total = np.bincount(place, values, minlength=levels)
        table = np.sort(np.where(count > 0, total / np.maximum(count, 1), table))
    found: np.ndarray = table[np.searchsorted((table[1:] + table[:-1]) / 2, values)]
    return found.astype(np.float32)
