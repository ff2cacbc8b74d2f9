"""One item in a stated number of bytes: which units speak for it, and how loudly.

A record is a float16 scale, a float16 bias where items have biases, one byte for each of the
`dense` directions that every item has, and a string of bits: the `active` units of the item in
ascending order, after Elias (1974) and Fano (1971), then a place in the table of values for each.
Elias-Fano writes the low bits of every unit as they are and the high ones as gaps, in unary: k of U
units take about k (2 + log2(U / k)) bits, or U where that is less: near the log2 of the number of
such sets, and always the same number, so that a record is found by its row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

ROWS = 4096
"""Records packed together: bounds the memory, one byte a bit."""


@dataclass(frozen=True)
class Layout:
    """What a record holds. active of `units` units, `value_bits` each; `dense` bytes; a bias."""

    units: int
    active: int
    value_bits: int
    dense: int = 0
    biased: bool = False

    @property
    def low(self) -> int:
        """How many bits of a unit are written as they are: the number that makes records short."""
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
        """With as many active units, `most` at most, as go into `size` bytes; None if none does."""
        fits, beyond = 0, min(most, self.units) + 1
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if replace(self, active=middle).size <= size:
                fits = middle
            else:
                beyond = middle
        return replace(self, active=fits) if fits else None

    def pack(
        self,
        scales: Floats,
        biases: Floats,
        dense: Bytes,
        support: Integers,
        places: Integers,
    ) -> Bytes:
        """(n, size) records. scales, biases: (n,); dense: (n, dense); support: (n, active), each
        row ascending, with the places of its values."""
        out = np.empty((len(support), self.size), dtype=np.uint8)
        out[:, :2] = _halves(scales)
        if self.biased:
            out[:, 2:4] = _halves(biases)
        out[:, self.head - self.dense : self.head] = dense
        for start in range(0, len(support), ROWS):
            rows = slice(start, start + ROWS)
            out[rows, self.head :] = self._packed(support[rows], places[rows])
        return out

    def unpack(self, records: Bytes) -> tuple[Floats, Floats, Bytes, Integers, Integers]:
        """What `pack` was given; biases are 0 where there are none.

        Raises ValueError for records that are none.
        """
        scales = _floats(records[:, :2])
        biases = _floats(records[:, 2:4]) if self.biased else np.zeros_like(scales)
        dense = records[:, self.head - self.dense : self.head]
        support = np.empty((len(records), self.active), dtype=np.int64)
        places = np.empty_like(support)
        for start in range(0, len(records), ROWS):
            rows = slice(start, start + ROWS)
            support[rows], places[rows] = self._unpacked(records[rows, self.head :])
        return scales, biases, dense, support, places

    def _unary(self, low: int) -> int:
        if not low:  # a bit for each unit is shorter than gaps of none
            return self.units
        return self.active + -(-self.units >> low)

    def _ranks(self) -> Integers:
        """What the units' high bits gain, so that no two have the same place."""
        return np.arange(self.active) if self.low else np.zeros(self.active, dtype=np.int64)

    def _packed(self, support: Integers, places: Integers) -> Bytes:
        low = self.low
        gaps = np.zeros((len(support), self._unary(low)), dtype=np.uint8)
        np.put_along_axis(gaps, (support >> low) + self._ranks(), 1, axis=1)
        parts = [_bits(support, low), gaps, _bits(places, self.value_bits)]
        return np.packbits(np.concatenate(parts, axis=1), axis=1)

    def _unpacked(self, packed: Bytes) -> tuple[Integers, Integers]:
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
    numbers: Integers = bits.reshape(len(bits), k, width).astype(np.int64) @ powers
    return numbers


def _halves(numbers: Floats) -> Bytes:
    return numbers.astype("<f2")[:, None].view(np.uint8)


def _floats(halves: Bytes) -> Floats:
    floats: Floats = np.ascontiguousarray(halves).view("<f2")[:, 0].astype(np.float32)
    return floats
