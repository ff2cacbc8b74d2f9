"""What a fitted codec does: images to bytes and files, and back."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress import container
from recae.apply.compress.coder import Coder
from recae.apply.compress.images import levels, read_images
from recae.apply.compress.learning import code_of, decoder_of, in_tiles
from recae.apply.compress.tables import Tables
from recae.errors import DataError, NotFittedError
from recae.estimators.params import Estimator
from recae.nn import AutoencoderNet
from recae.system.files import as_path, atomic_file
from recae.system.forks import survives_fork
from recae.system.progress import bar

SLACK = 8
"""Bytes that the range coder reads beyond the end of a code, as zeros."""


class FittedCodec(Estimator):
    """The methods of a fitted codec, over its network, tables and shape."""

    network_: AutoencoderNet
    tables_: Tables
    shape_: tuple[int, ...]

    @survives_fork
    def encode(self, images: Any, *, progress: bool | None = None) -> list[bytes]:
        """Each image by itself as bytes, in the order given; `write` makes files of them.

        images: (n, *shape_) uint8. Five bytes are not code: whose it is, and whether it is whole.
        What an image becomes doesn't depend on those beside it. Raises DataError for other images,
        NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().encode(np.zeros((1, 28, 28), np.uint8))
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        return self._written(self._symbols(read_images(images, self.shape_)), progress)

    @survives_fork
    def decode(
        self, written: Sequence[bytes] | bytes, *, progress: bool | None = None
    ) -> np.ndarray:
        """What `encode` gave as images, (n, height, width) or (n, height, width, channels) uint8.

        Raises DataError for what is cut short, altered, foreign, or written by another codec, all
        before any is decoded; NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().decode([])
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        if isinstance(written, bytes):
            raise DataError("decode takes a list of what encode gave; for one image, [written]")
        contents = []
        for place, each in enumerate(written):
            if not isinstance(each, bytes):
                raise DataError(f"number {place} is {type(each).__name__}, not bytes from encode")
            contents.append(container.unwrap_row(each, self._digest))
        symbols = np.empty((len(contents), self.tables_.latent), dtype=np.int32)
        with bar(len(contents), "decoding", "image", progress) as shown:
            for row, content in enumerate(contents):
                symbols[row] = self._coder.decode_row(content)
                shown.update()
        return self._images(symbols)

    @survives_fork
    def write(self, path: str | Path, images: Any) -> Path:
        """Writes images to one file, whole or not at all. Returns the path.

        One image becomes what `encode` gives; more share one header of 34 bytes and no byte is
        rounded up between them. images: (n, *shape_) uint8. Raises DataError for other images,
        StorageError for a missing folder, a directory in the way, no permission or a full disk.

        >>> recae.apply.compress.ImageCodec().write("three.rci", np.zeros((3, 28, 28), np.uint8))
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        symbols = self._symbols(read_images(images, self.shape_))
        if len(symbols) == 1:
            (content,) = self._written(symbols)
        else:
            codes = self._coder.encode_columns(symbols)
            content = container.wrap_rows(codes, len(symbols), self.shape_, self._digest)
        with atomic_file(path) as part:
            part.write_bytes(content)
        return Path(path)

    @survives_fork
    def read(self, path: str | Path) -> np.ndarray:
        """The images of a file that `write` wrote, (n, height, width) or with channels, uint8.

        Raises DataError for a file that is missing, cut short, altered, foreign, or of another
        codec; NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().read("three.rci")
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        try:
            content = as_path(path).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        try:
            if not content.startswith(container.MAGIC):
                return self.decode([content])
            codes, rows = container.unwrap_rows(content, self.shape_, self._digest)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        if rows * self.tables_.least > 8 * (len(codes) + SLACK):
            raise DataError(
                f"{path}: this file says that it holds {rows:,} images, more than its "
                f"{len(codes):,} bytes of code can; write it again"
            )
        return self._images(self._coder.decode_columns(codes, rows))

    @survives_fork
    def bits(self, images: Any) -> np.ndarray:
        """-log2 of the probability of each image's code, (n,) float64: what its bits must cost.

        images: (n, *shape_) uint8. Raises DataError for other images, NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().bits(np.zeros((1, 28, 28), np.uint8))
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        return self.tables_.bits(self._symbols(read_images(images, self.shape_)))

    # The pieces that the methods above share.

    def _check_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit first")

    def _symbols(self, images: np.ndarray) -> np.ndarray:
        net, flat = self.network_, torch.from_numpy(images.reshape(len(images), -1))
        mean = decoder_of(net).mean
        # A tile at a time from whole numbers: floats of all images would take four times the room.
        hidden = in_tiles(lambda tile: net.encoder(tile.float() / 255 - mean), flat, mean.device)
        numbers = code_of(net).numbers(hidden)
        return self.tables_.symbols(numbers.clamp(-(2**30), 2**30).long().numpy())

    def _images(self, symbols: np.ndarray) -> np.ndarray:
        if not len(symbols):
            return np.empty((0, *self.shape_), dtype=np.uint8)
        z = torch.from_numpy(self.tables_.numbers(symbols)).float() * code_of(self.network_).step
        pixels = decoder_of(self.network_).rows
        return (
            in_tiles(lambda tile: levels(pixels(tile)), z, z.device)
            .numpy()
            .reshape(len(z), *self.shape_)
        )

    def _written(self, symbols: np.ndarray, progress: bool | None = None) -> list[bytes]:
        written = []
        with bar(len(symbols), "encoding", "image", progress) as shown:
            for row in symbols:
                written.append(container.wrap_row(self._coder.encode_row(row), self._digest))
                shown.update()
        return written

    @cached_property
    def _coder(self) -> Coder:
        return Coder(self.tables_)

    @cached_property
    def _digest(self) -> bytes:
        """SHA-256 of all that says what a code means."""
        found = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode())
        for name, tensor in sorted(self._arrays().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(np.ascontiguousarray(tensor.numpy()).data)
        return found.digest()

    def _forget(self) -> None:
        for name in ("_coder", "_digest"):
            self.__dict__.pop(name, None)

    def _proof(self) -> int:
        """A checksum of what the entropy coder makes of one code, to tell coders apart."""
        places = np.arange(self.tables_.latent)
        symbols = (7 * places % self.tables_.sizes).astype(np.int32)
        return zlib.crc32(self._coder.encode_row(symbols))

    def _settings(self) -> dict[str, Any]:
        return {"params": self.get_params(), "shape": list(self.shape_)}

    def _arrays(self) -> dict[str, Tensor]:
        tables = self.tables_
        weights = {
            name: tensor.half() if tensor.dim() else tensor
            for name, tensor in self.network_.state_dict().items()
            if not name.startswith("code.prior.")
        }
        return weights | {
            "tables.low": torch.from_numpy(tables.low.astype(np.int32)),
            "tables.sizes": torch.from_numpy(tables.sizes.astype(np.int32)),
            "tables.counts": torch.from_numpy(tables.counts.astype(np.int32)),
        }
