"""compress_embeddings: from item vectors to records and a dictionary."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress.dictionary import learn_dictionary
from recae.apply.compress.directions import Head, Space
from recae.apply.compress.embeddings import CompressedEmbeddings, Shared
from recae.apply.compress.pursuit import Codes, nearest, pursue, quantise, refine, table
from recae.apply.compress.records import Layout
from recae.apply.compress.sparse_index import checked_rows
from recae.errors import ConfigError, DataError
from recae.rng import Stream, check_seed, numpy_generator
from recae.system.forks import survives_fork
from recae.system.memory import enough_memory
from recae.system.progress import check_progress

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


FEWEST = 16
"""Items below which there is nothing to learn a dictionary from."""

MOST_UNITS, ITEMS_A_UNIT = 1024, 4
VALUE_BITS = (3, 4, 5, 6, 8, 10)
MOST_ACTIVE = 192
"""Active units, at most: their number is cubed in the time it takes. More bytes get more bits."""

DENSE_SHARES = (0, 8)
"""Directions that every item has: none, or a byte in eight of the record."""

TRIAL_ITEMS = 1024


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
    """Item vectors as sparse codes over a learnt dictionary, in a stated number of bytes an item.

    vectors: (n_items, width) numbers, such as `model.item_embeddings_`, to be searched by inner
        products; their lengths are kept.
    bytes_per_item: of the record of an item, its length and bias included; the dictionary, shared
        by all items, comes on top: units x width bytes, or twice as many for large budgets.
    users: (rows, width) vectors of typical queries, such as `model.embed_users(train)`. Then what
        is small is E_u (u . (v - v'))^2, the error of the scores that users see, not |v - v'|^2.
    biases: (n_items,) numbers that are added to the scores of items; two bytes each.
    units: rows of the dictionary; None: as many as there are items for, 1,024 at most.
    epochs, lr: of the autoencoder. rounds: how often codes and dictionary are then fitted to each
        other; 0 keeps the codes of the autoencoder. seed: an integer >= 0.

    The dictionary is the decoder of a top-k sparse autoencoder of unit-length vectors with signed
    units (CompresSAE, Kasalický et al. 2025); codes are then sought by orthogonal matching
    pursuit, rounded to few bits with the rounding in mind, and dictionary and codes refined in
    turn. How many bits a value gets, and whether some directions are given to every item, is tried
    on a sample. Costs some 6 epochs x items x units x width operations, as much again for 3 rounds.

    Raises DataError for vectors, users or biases that are no finite numbers, too few or of unlike
    sizes; ConfigError for a budget that holds no unit and other bad options.

    >>> vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    >>> recae.apply.compress.compress_embeddings(vectors, 12, epochs=1, rounds=1).bytes_per_item
    12
    """
    table_, seed = checked_rows(vectors, "vectors"), check_seed(seed)
    check_progress(progress)
    if len(table_) < FEWEST or not table_.shape[1]:
        raise DataError(
            f"vectors are {table_.shape[0]} of {table_.shape[1]} numbers: a dictionary wants "
            f"{FEWEST} items at least, keep these as they are"
        )
    of_items = _biases(biases, len(table_))
    budget = _whole("bytes_per_item", bytes_per_item, 1)
    epochs, rounds = _whole("epochs", epochs, 1), _whole("rounds", rounds, 0)
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise ConfigError(f"lr must be a number > 0, not {lr!r}")
    units = _units(units, len(table_))
    layouts = _layouts(units, budget, table_.shape[1], of_items is not None)
    space = Space.of(table_, None if users is None else _users(users, table_.shape[1]))
    with enough_memory(f"compressing {len(table_):,} vectors with {units:,} units"):
        rows = torch.from_numpy(space.inwards(table_))
        layout = _tried(rows, layouts, seed)
        head = Head.of(rows, layout.dense)
        rest = rows - head.rebuilt()
        lengths = rest.norm(dim=1)
        unit = rest / lengths.clamp_min(1e-30)[:, None]
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
                codes = _own_codes(net.encoder(unit), layout)
        return assembled(rest, codes, atoms, head, space, layout, of_items)


def _tried(rows: Tensor, layouts: list[Layout], seed: int) -> Layout:
    """The layout of the least error on a sample, with other items for a dictionary."""
    if len(layouts) == 1:
        return layouts[0]
    order = torch.from_numpy(numpy_generator(seed, Stream.EMBEDDING_TRIAL).permutation(len(rows)))
    best, least = layouts[0], math.inf
    for dense in sorted({layout.dense for layout in layouts}):
        rest = rows - Head.of(rows, dense).rebuilt()
        lengths = rest.norm(dim=1)
        unit = rest / lengths.clamp_min(1e-30)[:, None]
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


def _own_codes(hidden: Tensor, layout: Layout) -> Codes:
    support = hidden.abs().topk(layout.active, dim=1).indices
    values = hidden.gather(1, support)
    levels = table(values, layout.value_bits)
    return Codes(support, levels[nearest(values, levels)], levels)


def _layouts(units: int, budget: int, width: int, biased: bool) -> list[Layout]:
    """The layouts to try, each with as many active units as the budget holds."""
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
            f"bytes_per_item={budget} holds no unit of {units:,}: give {least} or more, or fewer "
            "units"
        )
    return list(dict.fromkeys(found))


def _units(units: int | None, n_items: int) -> int:
    if units is None:
        return min(MOST_UNITS, 1 << int(math.log2(max(n_items / ITEMS_A_UNIT, 8))))
    units = _whole("units", units, 2)
    if units > n_items:
        raise ConfigError(
            f"units={units:,} are more than the {n_items:,} items: give fewer, a quarter or less"
        )
    return units


def _users(users: Any, width: int) -> np.ndarray:
    rows = checked_rows(users, "users", width)
    if not rows.any():
        raise DataError("users are all zero: give vectors of users who have a history, or none")
    return rows


def _biases(biases: Any, n_items: int) -> np.ndarray | None:
    if biases is None:
        return None
    column = checked_rows(np.asarray(biases).reshape(-1, 1), "biases")[:, 0]
    if len(column) != n_items:
        raise DataError(f"there are {len(column)} biases for {n_items} vectors: give one for each")
    return column


def _whole(name: str, value: object, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ConfigError(f"{name} must be an integer >= {low}, not {value!r}")
    return int(value)
