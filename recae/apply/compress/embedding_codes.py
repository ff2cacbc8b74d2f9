"""compress_embeddings: compresses item vectors to records and a dictionary."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress.dictionary import learn_dictionary
from recae.apply.compress.embeddings import CompressedEmbeddings, Layout, Shared
from recae.apply.compress.pursuit import Codes, nearest, pursue, quantise, refine, table
from recae.apply.compress.sparse_index import checked_rows
from recae.errors import ConfigError, DataError, check_integer, check_number, explained
from recae.rng import Stream, check_seed, numpy_generator
from recae.system.machine import enough_memory
from recae.system.progress import check_progress
from recae.system.threads import survives_fork

TINY = float(np.finfo(np.float32).tiny)
ADDED = 0.01
"""Largest relative increase of the squared error for a dictionary of bytes."""
SEEN = 1e-3
"""Least weight of a direction, as a share of the mean over directions."""


@dataclass(frozen=True)
class Space:
    """The space of errors: x = (v - centre) root, scaled so that the longest has unit norm.

    root^2 is proportional to the users' second moment, or to the identity.
    """

    centre: np.ndarray
    root: np.ndarray
    inverse: np.ndarray

    @staticmethod
    def of(vectors: np.ndarray, users: np.ndarray | None) -> Space:
        """The space in which squared errors count as users see them: whitened by the second moments
        of their vectors, whose smallest are raised to SEEN of the mean."""
        centre = vectors.mean(axis=0, dtype=np.float64)
        root = inverse = np.eye(vectors.shape[1])
        if users is not None:
            wide = users.astype(np.float64)
            seen, directions = np.linalg.eigh(wide.T @ wide / len(wide))
            seen = np.sqrt(np.maximum(seen, SEEN * seen.mean()))
            root, inverse = (directions * seen) @ directions.T, (directions / seen) @ directions.T
        # The squared norms must stay in the range of float32.
        longest = float(np.linalg.norm((vectors - centre) @ root, axis=1).max()) or 1.0
        return Space(centre.astype(np.float32), root / longest, inverse * longest)

    def inwards(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(((vectors - self.centre) @ self.root).astype(np.float32))

    def within(self, directions: np.ndarray) -> Tensor:
        """Directions of the original space in this one, (rows, width) float32."""
        return torch.from_numpy((directions @ self.root).astype(np.float32))

    def outwards(self, directions: Tensor) -> np.ndarray:
        return np.asarray(directions.numpy().astype(np.float64) @ self.inverse)


@dataclass(frozen=True)
class Head:
    """The leading directions, of which every item stores one byte each."""

    directions: Tensor  # (dense, width)
    levels: Tensor  # (dense, 256)
    places: Tensor  # (n, dense)

    @staticmethod
    def of(rows: Tensor, dense: int) -> Head:
        wide = rows.double()
        directions = torch.linalg.eigh(wide.t() @ wide).eigenvectors.flip(1)[:, :dense].t().float()
        values = rows @ directions.t()
        empty = torch.zeros(0, 256)
        levels = torch.stack([table(v, 8) for v in values.t()]) if dense else empty
        places = torch.zeros(len(rows), dense, dtype=torch.int64)
        for j in range(dense):
            places[:, j] = nearest(values[:, j].contiguous(), levels[j])
        return Head(directions, levels, places)

    def rebuilt(self, directions: Tensor | None = None) -> Tensor:
        """The rows that the bytes encode, (n, width); in other directions if given."""
        values = self.levels[torch.arange(len(self.levels)), self.places]
        return values @ (self.directions if directions is None else directions)


def assembled(
    rest: Tensor,
    codes: Codes,
    atoms: Tensor,
    head: Head,
    space: Space,
    layout: Layout,
    biases: np.ndarray | None,
) -> CompressedEmbeddings:
    """Packs the records and the shared parts, with the optimal scale of each row."""
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
    """The dictionary in bytes, or in float16 if bytes raise the error too much; and its scales."""
    largest = np.maximum(np.abs(dictionary).max(axis=1, keepdims=True), TINY)
    half = (dictionary / largest).astype(np.float16), largest[:, 0].astype(np.float32)
    bytes_ = np.round(dictionary / largest * 127).astype(np.int8), half[1] / np.float32(127)
    of_half, of_bytes = (lost(stored * scales[:, None]) for stored, scales in (half, bytes_))
    return bytes_ if of_bytes <= (1 + ADDED) * of_half else half


FEWEST = 16
"""Least number of items for a dictionary."""

MOST_UNITS, ITEMS_A_UNIT = 1024, 4
VALUE_BITS = (3, 4, 5, 6, 8, 10)
MOST_ACTIVE = 192
"""Largest number of active units, which enters the time with its cube."""

DENSE_SHARES = (0, 8)
"""Dense directions to try: none, or one byte in eight of the record."""

TRIAL_ITEMS = 1024


@explained
@survives_fork
def compress_embeddings(
    vectors: Any,
    bytes_per_item: int = 128,
    *,
    users: Any = None,
    biases: Any = None,
    units: int | None = None,
    epochs: int = 15,
    lr: float = 3e-3,
    rounds: int = 6,
    seed: int = 0,
    progress: bool | None = None,
) -> CompressedEmbeddings:
    """Compresses item vectors to a given number of bytes per item, as sparse dictionary codes.

    vectors: (n_items, width) numbers, such as `model.item_embeddings_`, for search by inner
        product; their norms are kept.
    bytes_per_item: of the record of an item, with its norm and bias; the shared dictionary is
        extra: units x width bytes, or twice as many for large budgets.
    users: (rows, width) vectors of typical queries, such as `model.embed_users(train)`. The error
        that is minimised is then E_u (u . (v - v'))^2, of the scores, instead of |v - v'|^2.
    biases: (n_items,) numbers that are added to the scores of items; two bytes each.
    units: rows of the dictionary; None: as many as the number of items allows, at most 1,024.
    epochs, lr: of the autoencoder. rounds: alternating refinements of codes and dictionary; 0 keeps
        the codes of the autoencoder. seed: an integer >= 0.

    The dictionary is the decoder of a top-k sparse autoencoder of unit-norm vectors with signed
    units (CompresSAE, Kasalický et al. 2025). Codes are then found by orthogonal matching pursuit
    and quantised, and dictionary and codes are refined in turn. The bits of a value, and whether
    all items share some dense directions, are chosen on a sample. Time: about 6 epochs x items x
    units x width operations, and as much again for 3 rounds.

    Raises DataError for vectors, users or biases that are not finite, too few or of different
    sizes; ConfigError for a budget without room for a unit and other bad options.

    >>> recae.apply.compress.compress_embeddings(X, 12, epochs=1, rounds=1).bytes_per_item
    12
    """
    table_, seed = checked_rows(vectors, "vectors"), check_seed(seed)
    check_progress(progress)
    if len(table_) < FEWEST or not table_.shape[1]:
        raise DataError(
            f"vectors have the shape {table_.shape}: a dictionary needs at least {FEWEST} items "
            "and one column"
        )
    of_items = None
    if biases is not None:
        of_items = checked_rows(np.asarray(biases).reshape(-1, 1), "biases")[:, 0]
        if len(of_items) != len(table_):
            raise DataError(
                f"there are {len(of_items)} biases for {len(table_)} vectors: pass one for each "
                "vector"
            )
    budget = check_integer("bytes_per_item", bytes_per_item, 1)
    epochs, rounds = check_integer("epochs", epochs, 1), check_integer("rounds", rounds, 0)
    lr = check_number("lr", lr, above=0)
    units = _units(units, len(table_))
    layouts = _layouts(units, budget, table_.shape[1], of_items is not None)
    if users is not None:
        users = checked_rows(users, "users", table_.shape[1])
        if not users.any():
            raise DataError("users are all zero: pass vectors of users with a history, or None")
    space = Space.of(table_, users)
    with enough_memory(f"compressing {len(table_):,} vectors with {units:,} units"):
        rows = torch.from_numpy(space.inwards(table_))
        layout = _tried(rows, layouts, seed)
        head = Head.of(rows, layout.dense)
        rest, lengths, unit = _remainders(rows, head)
        net = learn_dictionary(
            unit[lengths > 0] if bool((lengths > 0).any()) else unit,
            units,
            layout.active,
            epochs=epochs,
            lr=lr,
            seed=seed,
            progress=progress,
        )
        atoms = net.decoder.rows().detach()
        if rounds:
            atoms, codes = refine(
                unit,
                lengths.square(),
                atoms,
                layout.active,
                layout.value_bits,
                rounds=rounds,
                seed=seed,
                progress=progress,
            )
        else:
            with torch.no_grad():
                hidden = net.encoder(unit)
            support = hidden.abs().topk(layout.active, dim=1).indices
            values = hidden.gather(1, support)
            levels = table(values, layout.value_bits)
            codes = Codes(support, levels[nearest(values, levels)], levels)
        return assembled(rest, codes, atoms, head, space, layout, of_items)


def _remainders(rows: Tensor, head: Head) -> tuple[Tensor, Tensor, Tensor]:
    """What the leading directions leave of the rows, its norms, and its unit-norm rows."""
    rest = rows - head.rebuilt()
    lengths = rest.norm(dim=1)
    return rest, lengths, rest / lengths.clamp_min(1e-30)[:, None]


def _tried(rows: Tensor, layouts: list[Layout], seed: int) -> Layout:
    """The layout with the least error on a sample, with other items as the dictionary."""
    if len(layouts) == 1:
        return layouts[0]
    order = torch.from_numpy(numpy_generator(seed, Stream.EMBEDDING_TRIAL).permutation(len(rows)))
    best, least = layouts[0], math.inf
    for dense in sorted({layout.dense for layout in layouts}):
        _, lengths, unit = _remainders(rows, Head.of(rows, dense))
        for layout in layouts:
            if layout.dense != dense:
                continue
            units = min(layout.units, len(rows) // 2)
            some = order[units : units + TRIAL_ITEMS]
            atoms, k = unit[order[:units]], min(layout.active, units)
            codes = quantise(unit[some], atoms, *pursue(unit[some], atoms, k), layout.value_bits)
            error = float((codes.errors(unit[some], atoms) * lengths[some].square()).sum())
            if error < least:
                best, least = layout, error
    return best


def _layouts(units: int, budget: int, width: int, biased: bool) -> list[Layout]:
    """The layouts to try, each with as many active units as fit in the budget."""
    found = []
    for share in DENSE_SHARES:
        dense = min(budget // share, width // 4) if share else 0
        for bits in VALUE_BITS:
            layout = Layout(units, 1, bits, dense, biased).filled(
                budget, min(width, units, MOST_ACTIVE)
            )
            if layout is not None and (layout.active > 1 or not dense):
                found.append(layout)
    if not found:
        least = Layout(units, 1, VALUE_BITS[0], 0, biased).size
        raise ConfigError(
            f"bytes_per_item={budget} has no room for one of {units:,} units: take {least} or "
            "more, or fewer units",
            parameter="bytes_per_item",
            value=budget,
        )
    return list(dict.fromkeys(found))


def _units(units: int | None, n_items: int) -> int:
    """The number of units of the dictionary: that given, or the power of two below n_items /
    ITEMS_A_UNIT, within 8 to MOST_UNITS. Raises ConfigError for more units than items."""
    if units is None:
        return min(MOST_UNITS, 1 << int(math.log2(max(n_items / ITEMS_A_UNIT, 8))))
    units = check_integer("units", units, 2)
    if units > n_items:
        raise ConfigError(
            f"units={units:,} exceeds the {n_items:,} items: take a quarter of them or less",
            parameter="units",
            value=units,
        )
    return units
