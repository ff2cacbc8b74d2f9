"""CompressedEmbeddings: the result of `compress_embeddings`, with search, decoding and saving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.apply.compress.sparse_index import SparseIndex
from recae.errors import explained
from recae.estimators.saved import Contents, register, write
from recae.system.machine import row_batches

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

ROWS = 4096
"""Records packed together, which take one byte a bit."""


@dataclass(frozen=True)
class Layout:
    """The fields of a record, which describes one item in a fixed number of bytes.

    A record is a float16 scale, a float16 bias if items have biases, one byte for each of the
    `dense` directions that every item has, and a string of bits. The bits hold the `active` of
    `units` units of the item in ascending order, after Elias (1974) and Fano (1971). Then come
    `value_bits` for the value of each unit. Elias-Fano stores the low bits of every unit and the
    gaps of the high bits in unary. k of U units take about k (2 + log2(U / k)) bits, or U if that
    is less, which is near the optimum. The size is constant, so a record is found by its row.
    """

    units: int
    active: int
    value_bits: int
    dense: int = 0
    biased: bool = False

    @property
    def low(self) -> int:
        """The number of low bits of a unit that are stored as they are; minimises the size."""
        most = max(self.units - 1, 1).bit_length()
        return min(range(most + 1), key=lambda low: self.active * low + self._unary(low))

    @property
    def bits(self) -> int:
        """Bits of the units and their values."""
        return self.active * (self.low + self.value_bits) + self._unary(self.low)

    @property
    def head(self) -> int:
        """Bytes before the bits."""
        return 2 + 2 * self.biased + self.dense

    @property
    def size(self) -> int:
        """Bytes of a record."""
        return self.head + -(-self.bits // 8)

    def filled(self, size: int, most: int) -> Layout | None:
        """The layout with the most active units, up to `most`, that fits in `size` bytes."""
        fits, beyond = 0, min(most, self.units) + 1
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if replace(self, active=middle).size <= size:
                fits = middle
            else:
                beyond = middle
        return replace(self, active=fits) if fits else None

    def pack(
        self, scales: Floats, biases: Floats, dense: Bytes, support: Integers, places: Integers
    ) -> Bytes:
        """(n, size) records. scales, biases: (n,); dense: (n, dense); support: (n, active), each
        row ascending, with the places of its values."""
        out = np.empty((len(support), self.size), dtype=np.uint8)
        out[:, :2] = _halves(scales)
        if self.biased:
            out[:, 2:4] = _halves(biases)
        out[:, self.head - self.dense : self.head] = dense
        for rows in row_batches(len(support), 1, ROWS):
            some = support[rows]
            gaps = np.zeros((len(some), self._unary(self.low)), dtype=np.uint8)
            np.put_along_axis(gaps, (some >> self.low) + self._ranks(), 1, axis=1)
            parts = [_bits(some, self.low), gaps, _bits(places[rows], self.value_bits)]
            out[rows, self.head :] = np.packbits(np.concatenate(parts, axis=1), axis=1)
        return out

    def unpack(self, records: Bytes) -> tuple[Floats, Floats, Bytes, Integers, Integers]:
        """The arguments of `pack`; missing biases are 0.

        Raises ValueError for invalid records.
        """
        scales = _floats(records[:, :2])
        biases = _floats(records[:, 2:4]) if self.biased else np.zeros_like(scales)
        dense = records[:, self.head - self.dense : self.head]
        support = np.empty((len(records), self.active), dtype=np.int64)
        places = np.empty_like(support)
        for rows in row_batches(len(records), 1, ROWS):
            support[rows], places[rows] = self._unpacked(records[rows, self.head :])
        return scales, biases, dense, support, places

    def _unary(self, low: int) -> int:
        if not low:  # a bit for each unit is shorter than gaps of none
            return self.units
        return self.active + -(-self.units >> low)

    def _ranks(self) -> Integers:
        """The offsets of the units' high bits, which make their places distinct."""
        return np.arange(self.active) if self.low else np.zeros(self.active, dtype=np.int64)

    def _unpacked(self, packed: Bytes) -> tuple[Integers, Integers]:
        """The units and the codes of their values, (rows, active) each, from packed records: low
        bits, gaps in unary, and values. Raises ValueError for damaged records."""
        low, k = self.low, self.active
        bits = np.unpackbits(packed, axis=1, count=self.bits)
        lows, gaps, values = np.split(bits, [k * low, k * low + self._unary(low)], axis=1)
        if (gaps.sum(axis=1) != k).any():
            raise ValueError("a record does not name as many units as it should")
        high = np.nonzero(gaps)[1].reshape(len(packed), k) - self._ranks()
        support = (high << low) + _numbers(lows, k, low)
        if (support >= self.units).any() or (np.diff(support, axis=1) <= 0).any():
            raise ValueError("the units of a record are out of range or out of order")
        return support, _numbers(values, k, self.value_bits)


def _bits(numbers: Integers, width: int) -> Bytes:
    """(n, k) numbers -> (n, k x width) of their bits, the highest first."""
    shifts = np.arange(width - 1, -1, -1)
    bits: Bytes = ((numbers[:, :, None] >> shifts) & 1).astype(np.uint8)
    return bits.reshape(len(numbers), -1)


def _numbers(bits: Bytes, k: int, width: int) -> Integers:
    powers = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.asarray(bits.reshape(len(bits), k, width).astype(np.int64) @ powers)


def _halves(numbers: Floats) -> Bytes:
    return numbers.astype("<f2")[:, None].view(np.uint8)


def _floats(halves: Bytes) -> Floats:
    return np.asarray(np.ascontiguousarray(halves).view("<f2")[:, 0].astype(np.float32))


@dataclass(frozen=True, eq=False)
class Shared:
    """The parts that all items share; numbers are stored in one or two bytes where that is enough.

    dictionary (dense + units, width) int8 or float16, to be multiplied by row_scales (dense +
    units,) float32; levels (2^bits,) and dense_levels (dense, 256): the decoded values; centre
    (width,); units_of (2,): the steps of the records' scales and biases.
    """

    dictionary: np.ndarray
    row_scales: np.ndarray
    levels: np.ndarray
    dense_levels: np.ndarray
    centre: np.ndarray
    units_of: np.ndarray


@explained
@register
@dataclass(frozen=True, eq=False)
class CompressedEmbeddings:
    """Item vectors as records of a few bytes, and a dictionary that all of them share.

    v_i = c + z_i W. W (units, width) is the dictionary, c the centre, z_i the sparse code of item
    i. A code has some units and a small number for each, scaled to the norm of the item. `index`
    searches them without decoding, `vectors` decodes. `recae.apply.compress.compress_embeddings`
    makes them.

    records: (n_items, bytes_per_item) uint8; layout: the fields of a record; shared: the rest.

    >>> small = recae.apply.compress.compress_embeddings(X, 12, epochs=1, rounds=1)
    >>> small.records.shape, small.vectors().shape
    ((100, 12), (100, 6))
    """

    records: np.ndarray
    layout: Layout
    shared: Shared

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.records)

    @property
    def width(self) -> int:
        """The numbers in a vector."""
        return len(self.shared.centre)

    @property
    def active(self) -> int:
        """The units of the dictionary that an item has."""
        return self.layout.active

    @property
    def bytes_per_item(self) -> int:
        """Bytes of a record, norm and bias included; never more than were asked for."""
        return self.layout.size

    @property
    def shared_bytes(self) -> int:
        """Bytes of what all items share: dictionary, tables of values, centre."""
        return sum(part.nbytes for part in vars(self.shared).values())

    @property
    def n_bytes(self) -> int:
        """Bytes of everything: all records and what they share."""
        return int(self.records.nbytes) + self.shared_bytes

    def __repr__(self) -> str:
        return (
            f"CompressedEmbeddings({self.n_items:,} items x {self.width}, {self.bytes_per_item} "
            f"bytes an item and {self.shared_bytes:,} bytes of dictionary; {self.active} of "
            f"{self.layout.units:,} units an item)"
        )

    def vectors(self) -> np.ndarray:
        """The decoded vectors, (n_items, width) float32. They are near what was compressed.

        Made with `users`, they are near in what users see: directions that no user has may differ.

        >>> bool(np.square(small.vectors() - X).mean() < 0.2)
        True
        """
        return np.asarray(self.shared.centre + self._codes()[0] @ self._dictionary())

    def biases(self) -> np.ndarray:
        """The items' biases, (n_items,) float32; 0 where none were given.

        >>> float(small.biases()[0])
        0.0
        """
        return self._codes()[1]

    def index(self) -> SparseIndex:
        """An index to search the items with; its codes take some 8 bytes for each active unit.

        >>> small.index().n_items
        100
        """
        codes, biases = self._codes()
        return SparseIndex(codes, self._dictionary(), self.shared.centre, biases)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes records and dictionary to a folder, atomically, for `recae.load`.

        Returns the path. Raises StorageError for a path that is taken (unless it holds something
        saved and `overwrite`), no permission or a full disk.

        >>> recae.load(small.save("small")).n_items
        100
        """
        arrays = {"records": self.records} | vars(self.shared)
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        facts = {"items": self.n_items, "numbers in a vector": self.width, "bytes": self.n_bytes}
        settings = {"layout": asdict(self.layout), "facts": {"Size": facts}}
        return write(type(self), Contents(settings, tensors), path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> CompressedEmbeddings:
        """The embeddings of a saved folder. Raises ValueError for arrays of another shape than the
        layout, and for damaged records."""
        layout, shared = Layout(**settings["layout"]), {n: t.numpy() for n, t in arrays.items()}
        small = cls(shared.pop("records"), layout, Shared(**shared))
        rows = layout.dense + layout.units
        shapes = {
            "records": (small.n_items, layout.size),
            "dictionary": (rows, small.width),
            "row_scales": (rows,),
            "levels": (2**layout.value_bits,),
            "dense_levels": (layout.dense, 256),
            "units_of": (2,),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has the shape {tuple(arrays[name].shape)}, not {shape}")
        layout.unpack(small.records)  # raises ValueError for damaged ones
        return small

    def _dictionary(self) -> np.ndarray:
        dictionary = self.shared.dictionary.astype(np.float32)
        return np.asarray(dictionary * self.shared.row_scales[:, None])

    def _codes(self) -> tuple[Any, np.ndarray]:
        """Codes (n_items, dense + units) as CSR, biases (n_items,)."""
        layout, shared = self.layout, self.shared
        scales, biases, dense, support, places = layout.unpack(self.records)
        own = shared.levels[places] * (scales * shared.units_of[0])[:, None]
        of_dense = shared.dense_levels[np.arange(layout.dense), dense]  # (n_items, dense)
        values = np.concatenate([of_dense, own], axis=1).astype(np.float32)
        columns = np.broadcast_to(np.arange(layout.dense), of_dense.shape)
        columns = np.concatenate([columns, support + layout.dense], axis=1)
        n, k = values.shape
        codes = sp.csr_matrix(
            (values.ravel(), columns.ravel().astype(np.int32), np.arange(0, n * k + 1, k)),
            shape=(n, layout.dense + layout.units),
        )
        return codes, (biases * shared.units_of[1]).astype(np.float32)
