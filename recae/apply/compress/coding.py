"""Entropy coding of codes to bytes: tables of probabilities, a range coder, and file headers.

One image, 5 bytes before its code:
    tag 2          of the codec
    length 1       bytes of the code, modulo 256: detects any cut of up to 255 bytes
    checksum 2     CRC-16 (CCITT) started with the codec's digest: detects any altered byte

Many images, 30 bytes before their codes and 4 after:
    magic 4, version 1, digest 8 (of the codec), images 4, height 2, width 2, channels 2 (0 for
    images without), length 7 (bytes of the codes); the codes; CRC-32 of everything before
"""

from __future__ import annotations

import binascii
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recae.errors import ConfigError, DataError

PRECISION = 24
"""The range coder computes with probabilities that are multiples of 2^-24."""

WIDEST = 2**14
"""Largest number of values in a table; values beyond are clipped."""


@dataclass(frozen=True)
class Tables:
    """For each place j of a code a table of the numbers low[j], low[j] + 1, ...

    low: (latent,) int64; sizes: (latent,) int64 >= 2, how many numbers each has; counts: the
    concatenated tables, int64 >= 1, where those of a place sum to 2^PRECISION. A number has the
    probability count / 2^PRECISION. A number outside its table is clipped to the nearest value.
    """

    low: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, low: np.ndarray, expected: list[np.ndarray]) -> Tables:
        """Tables from observed numbers, (n, latent) integers, plus prior counts.

        expected[j]: the prior counts of low[j], low[j] + 1, ...
        """
        made = [
            integer_counts(
                before + np.bincount(column - first, minlength=len(before))[: len(before)]
            )
            for column, first, before in zip(numbers.T, low, expected, strict=True)
        ]
        return cls(low, np.array([len(table) for table in made]), np.concatenate(made))

    @property
    def latent(self) -> int:
        """Places of a code."""
        return len(self.low)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each table begins in `counts`, (latent,)."""
        return np.asarray(np.cumsum(self.sizes) - self.sizes)

    def table(self, place: int) -> np.ndarray:
        """The counts of one place."""
        start = self.starts[place]
        return np.asarray(self.counts[start : start + self.sizes[place]])

    def symbols(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (n, latent) as positions in their tables, (n, latent) int32, clipped."""
        return np.asarray(np.clip(numbers - self.low, 0, self.sizes - 1).astype(np.int32))

    def numbers(self, symbols: np.ndarray) -> np.ndarray:
        """The inverse of `symbols`, (n, latent) int64."""
        return np.asarray(symbols + self.low)

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """-sum_j log2 p of each row of symbols, (n,) float64: the lower bound of any coder."""
        logs: np.ndarray = np.log2(self.counts)[self.starts + symbols]  # (n, latent)
        return np.asarray(PRECISION * self.latent - logs.sum(1))

    @cached_property
    def least(self) -> float:
        """The bits of the most probable code, > 0: no row takes fewer."""
        largest = np.maximum.reduceat(self.counts, self.starts)
        return float((PRECISION - np.log2(largest)).sum())

    def problem(self) -> str | None:
        """The first inconsistency of the tables; None if they are valid."""
        if (self.sizes < 2).any() or self.sizes.sum() != len(self.counts) or not self.latent:
            return "the sizes of the tables of the entropy model do not match"
        if (self.counts < 1).any():
            return "the entropy model has numbers with probability 0"
        if (np.add.reduceat(self.counts, self.starts) != 2**PRECISION).any():
            return "the tables of the entropy model do not sum to 1"
        return None


def integer_counts(weights: np.ndarray) -> np.ndarray:
    """Integer counts proportional to weights >= 0, each at least 1, with the sum 2^PRECISION."""
    counts = 1 + np.floor(weights / weights.sum() * (2**PRECISION - len(weights))).astype(np.int64)
    counts[np.argmax(weights)] += 2**PRECISION - counts.sum()
    return np.asarray(counts)


WORD = 4
"""Bytes of a word of the range coder."""


class Coder:
    """A range coder (Martin 1979) with a table for every place of a code.

    `encode_row` writes a single code in the fewest bytes that identify it. `encode_columns` writes
    many codes place by place, which is faster and does not round each of them up to bytes.
    """

    def __init__(self, tables: Tables) -> None:
        try:
            from constriction import stream
        except ImportError as error:
            hint = "entropy coding needs constriction: pip install 'recae[compress]'"
            raise ConfigError(hint) from error
        self.tables, self._queue = tables, stream.queue
        self._models = [
            # perfect: the probabilities are used exactly; they are integer counts already.
            stream.model.Categorical(tables.table(j) / 2**PRECISION, perfect=True)
            for j in range(tables.latent)
        ]

    def encode_row(self, symbols: np.ndarray) -> bytes:
        """One code, (latent,) int32, as few bytes as possible."""
        encoder = self._queue.RangeEncoder()
        for symbol, model in zip(symbols[:, None], self._models, strict=True):
            encoder.encode(symbol, model)
        return self._shortest(encoder, symbols)

    def decode_row(self, content: bytes) -> np.ndarray:
        """The inverse of `encode_row`, (latent,) int32."""
        decoder = self._decoder(content)
        return np.array([decoder.decode(model) for model in self._models], dtype=np.int32)

    def encode_columns(self, symbols: np.ndarray) -> bytes:
        """Many codes, (n, latent) int32, place by place."""
        encoder = self._queue.RangeEncoder()
        for place, model in enumerate(self._models):
            encoder.encode(np.ascontiguousarray(symbols[:, place]), model)
        return _as_bytes(encoder.get_compressed())

    def decode_columns(self, content: bytes, rows: int) -> np.ndarray:
        """The inverse of `encode_columns`, (rows, latent) int32."""
        decoder = self._decoder(content)
        columns = [decoder.decode(model, rows) for model in self._models]
        return np.stack(columns, axis=1)

    def _decoder(self, content: bytes) -> Any:
        """A decoder of the bytes, followed by zeros."""
        padded = content + bytes(-len(content) % WORD + 2 * WORD)
        return self._queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def _shortest(self, encoder: Any, symbols: np.ndarray) -> bytes:
        """The fewest bytes that, followed by zeros, lie in the interval of the encoder.

        Every continuation in that interval decodes to the same symbols. Its lower end and width are
        the state of the encoder, two words, after the words already emitted.
        """
        sealed: bytes = _as_bytes(encoder.get_compressed())
        words, (lower, width) = encoder.pos()
        kept = int.from_bytes(sealed[: words * WORD], "big")
        low, size = (kept << 64) + lower, (words + 2) * WORD
        for dropped in range(size, -1, -1):
            unit = 1 << 8 * dropped
            value = -(-low // unit)
            if value * unit < low + width and value < 256 ** (size - dropped):
                short: bytes = value.to_bytes(size - dropped, "big")
                # While a carry is pending, the emitted words can still change.
                if np.array_equal(self.decode_row(short), symbols):
                    return short.rstrip(b"\0")
                break
        return sealed.rstrip(b"\0")


def _as_bytes(words: np.ndarray) -> bytes:
    return words.astype(">u4").tobytes()


MAGIC, VERSION = b"\x8aRci", 1
ROW = struct.Struct(">2sBH")
HEAD = struct.Struct(">4sB8sIHHH")
LENGTH_BYTES = 7
HEAD_BYTES = HEAD.size + LENGTH_BYTES + 4
"""Bytes of a file of many images without their codes."""


def tag(digest: bytes) -> bytes:
    """Two bytes that identify a codec, and differ from the start of a file of many images."""
    pairs = (digest[i : i + 2] for i in range(0, len(digest), 2))
    return next(pair for pair in pairs if pair != MAGIC[:2])


def wrap_row(content: bytes, digest: bytes) -> bytes:
    """The code of one image with the tag of its codec, its length and a checksum."""
    return ROW.pack(tag(digest), len(content) % 256, _check(content, digest)) + content


def unwrap_row(wrapped: bytes, digest: bytes) -> bytes:
    """The code of one image. Raises DataError if it is cut short, altered or of another codec."""
    if len(wrapped) < ROW.size:
        raise DataError(
            f"a compressed image has at least {ROW.size} bytes, not {len(wrapped)}; compress the "
            "image again"
        )
    found, length, check = ROW.unpack_from(wrapped)
    content = wrapped[ROW.size :]
    if found != tag(digest):
        raise DataError(
            f"not a compressed image of this codec: it begins with {found.hex()}, not with "
            f"{tag(digest).hex()}; read it with the codec that wrote it"
        )
    if length != len(content) % 256 or check != _check(content, digest):
        raise DataError(
            "this compressed image is damaged: cut short, lengthened or altered; compress the "
            "image again"
        )
    return content


def wrap_rows(content: bytes, images: int, shape: tuple[int, ...], digest: bytes) -> bytes:
    """The codes of many images of one shape as the content of a file."""
    channels = shape[2] if len(shape) == 3 else 0
    head = HEAD.pack(MAGIC, VERSION, digest[:8], images, shape[0], shape[1], channels)
    framed = head + len(content).to_bytes(LENGTH_BYTES, "big") + content
    return framed + zlib.crc32(framed).to_bytes(4, "big")


def unwrap_rows(wrapped: bytes, shape: tuple[int, ...], digest: bytes) -> tuple[bytes, int]:
    """The codes of a file and the number of images.

    Raises DataError if it is cut short, altered, of another version or of another codec.
    """
    if len(wrapped) < HEAD_BYTES:
        raise _damaged(f"it has {len(wrapped)} bytes, at least {HEAD_BYTES} are needed")
    _, version, owner, images, height, width, channels = HEAD.unpack_from(wrapped)
    if version != VERSION:
        raise DataError(
            f"a file of compressed images of version {version}; this recae reads version {VERSION}:"
            " read it with the recae that wrote it"
        )
    length = int.from_bytes(wrapped[HEAD.size : HEAD.size + LENGTH_BYTES], "big")
    if len(wrapped) != HEAD_BYTES + length:
        raise _damaged(f"it has {len(wrapped)} bytes, not {HEAD_BYTES + length}")
    if zlib.crc32(wrapped[:-4]) != int.from_bytes(wrapped[-4:], "big"):
        raise _damaged("its checksum differs")
    if owner != digest[:8]:
        raise DataError(
            f"written by the codec {owner.hex()}; this one is {digest[:8].hex()}: read it with the "
            "codec that wrote it"
        )
    if (height, width, channels) != (*shape, 0)[:3]:
        raise _damaged(f"its images are {height} x {width} x {channels}")
    return wrapped[HEAD.size + LENGTH_BYTES : -4], images


def _check(content: bytes, digest: bytes) -> int:
    return binascii.crc_hqx(content, binascii.crc_hqx(digest, 0))


def _damaged(reason: str) -> DataError:
    return DataError(f"this file of compressed images is damaged: {reason}; write it again")
