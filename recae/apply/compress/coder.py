"""The entropy coder: symbols to bytes and back, by the range coder of `constriction`."""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.apply.compress.tables import PRECISION, Tables
from recae.errors import ConfigError

WORD = 4
"""Bytes of a word of the range coder."""


class Coder:
    """A range coder (Martin 1979) with a table for every place of a code.

    `row` writes one code by itself, in the fewest bytes that tell it from all others; `column`
    order, place by place over many codes, is quicker and wastes nothing between them.
    """

    def __init__(self, tables: Tables) -> None:
        stream = _stream()
        self.tables, self._queue = tables, stream.queue
        self._models = [
            # perfect: the probabilities are used to the last bit, which takes a search otherwise
            # spared; here they are whole counts already.
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
        """Reads as if zeros without end followed."""
        padded = content + bytes(-len(content) % WORD + 2 * WORD)
        return self._queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def _shortest(self, encoder: Any, symbols: np.ndarray) -> bytes:
        """The fewest bytes that, with zeros after them, lie in the interval of the encoder.

        All that begins in that interval decodes to the same symbols. Its lower end and width are
        the state of the encoder, two words, after the words that it has let go.
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
                # While a carry is open, the words let go are not the last word on the interval.
                if np.array_equal(self.decode_row(short), symbols):
                    return short.rstrip(b"\0")
                break
        return sealed.rstrip(b"\0")


def _as_bytes(words: np.ndarray) -> bytes:
    content: bytes = words.astype(">u4").tobytes()
    return content


def _stream() -> Any:
    try:
        from constriction import stream
    except ImportError as error:
        raise ConfigError(
            "entropy coding needs the package constriction: pip install 'recae[compress]'"
        ) from error
    return stream
