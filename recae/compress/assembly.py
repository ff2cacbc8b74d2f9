"""Codes and a dictionary become records and what they share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from recae.compress.directions import Head, Space
from recae.compress.embeddings import CompressedEmbeddings, Shared
from recae.compress.pursuit import Codes, nearest
from recae.compress.records import Layout

TINY = float(np.finfo(np.float32).tiny)
ADDED = 0.01
"""What a dictionary of bytes may add to the squared error, as a share of it."""


def assembled(
    rest: Tensor,
    codes: Codes,
    atoms: Tensor,
    head: Head,
    space: Space,
    layout: Layout,
    biases: np.ndarray | None,
) -> CompressedEmbeddings:
    """Records and what they share. Scales are those that bring each code nearest to its row."""
    rebuilt = codes.rebuilt(atoms)
    scales = (rest * rebuilt).sum(1) / rebuilt.square().sum(1).clamp_min(1e-30)
    scales = scales.clamp_min(0)
    support, order = codes.support.sort(dim=1)
    places = nearest(codes.values, codes.levels).gather(1, order)

    def lost(dictionary: np.ndarray) -> float:
        within = space.within(dictionary)
        left = head.rebuilt() - head.rebuilt(within[: layout.dense]) + rest
        rows = codes.rebuilt(within[layout.dense :]) * scales[:, None]
        return float((left - rows).square().sum())

    dictionary = np.concatenate([space.outwards(head.directions), space.outwards(atoms)])
    stored, row_scales = _stored(dictionary, lost)
    of_items = np.zeros(len(rest), dtype=np.float32) if biases is None else biases
    units_of = [float(part.max()) or 1.0 for part in (scales.numpy(), np.abs(of_items))]
    shared = Shared(
        dictionary=stored,
        row_scales=row_scales,
        levels=codes.levels.numpy(),
        dense_levels=head.levels.numpy(),
        centre=space.centre,
        units_of=np.array(units_of, dtype=np.float32),
    )
    records = layout.pack(
        scales.numpy() / shared.units_of[0],
        of_items / shared.units_of[1],
        head.places.numpy().astype(np.uint8),
        support.numpy(),
        places.numpy(),
    )
    return CompressedEmbeddings(records, layout, shared)


def _stored(
    dictionary: np.ndarray, lost: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, np.ndarray]:
    """The dictionary in bytes, or in half precision where bytes would add to the error; scales."""
    largest = np.maximum(np.abs(dictionary).max(axis=1, keepdims=True), TINY)
    half = (dictionary / largest).astype(np.float16), largest[:, 0].astype(np.float32)
    bytes_ = np.round(dictionary / largest * 127).astype(np.int8), half[1] / np.float32(127)
    of_half, of_bytes = (lost(stored * scales[:, None]) for stored, scales in (half, bytes_))
    return bytes_ if of_bytes <= (1 + ADDED) * of_half else half
