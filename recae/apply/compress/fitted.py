"""The methods of a fitted image codec: images to bytes and files, and back."""

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

from recae.apply.compress import coding
from recae.apply.compress.coding import Coder, Tables
from recae.apply.compress.learning import code_of, decoder_of, in_batches
from recae.errors import DataError
from recae.estimators.params import Estimator
from recae.nn import AutoencoderNet
from recae.system.files import as_path, atomic_file
from recae.system.progress import bar
from recae.system.threads import survives_fork

SLACK = 8
"""Bytes that the range coder reads beyond the end of a code, as zeros."""

LONGEST = 2**16 - 1
"""Largest height, width and number of channels in a file header."""


def read_images(given: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Checks images, (n, height, width) or (n, height, width, channels) uint8.

    shape: of one image, if known. Raises DataError for anything else.
    """
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        images = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DataError(f"images cannot be read as one array: {error}") from error
    if images.dtype != np.uint8:
        raise DataError(
            f"images must be uint8, from 0 to 255, not {images.dtype}: scale and convert them, as "
            "in (255 * images).round().astype('uint8')"
        )
    if images.ndim not in (3, 4):
        raise DataError(
            "images must have the shape (n, height, width) or (n, height, width, channels), not "
            f"{images.shape}; a single image is images[None]"
        )
    if shape is not None and images.shape[1:] != shape:
        raise DataError(f"images have the shape {images.shape[1:]}; the codec's have {shape}")
    if 0 in images.shape:
        raise DataError(f"there are no images in an array of the shape {images.shape}")
    if max(images.shape[1:]) > LONGEST:
        raise DataError(
            f"images of the shape {images.shape[1:]} are too large: a side has at most "
            f"{LONGEST} pixels; cut them into squares"
        )
    images = np.ascontiguousarray(images)
    return images if images.flags.writeable else images.copy()  # torch has no read-only tensors


def as_rows(images: np.ndarray) -> Tensor:
    """Images as rows of numbers from 0 to 1, (n, features) float32."""
    return torch.from_numpy(images.reshape(len(images), -1)).float().div_(255)


def levels(rows: Tensor) -> Tensor:
    """Numbers from 0 to 1 as uint8, clipped to 0 and 255."""
    return (255 * rows.clamp(0, 1)).round().to(torch.uint8)


def psnr(images: np.ndarray, others: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error over all pixels).

    Both (n, ...) uint8; infinite for equal ones.
    """
    error = np.square(images.astype(np.float64) - others).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


class FittedCodec(Estimator):
    """The methods of a fitted codec, given its network, tables and shape."""

    network_: AutoencoderNet
    tables_: Tables
    shape_: tuple[int, ...]

    @survives_fork
    def encode(self, images: Any, *, progress: bool | None = None) -> list[bytes]:
        """Encodes each image by itself to bytes, in their order; `write` makes files of them.

        images: (n, *shape_) uint8. Five bytes of each are a header with a checksum. Raises
        DataError for other images, NotFittedError before fit.

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
        """Decodes the bytes of `encode`, (n, height, width) or (n, height, width, channels) uint8.

        Raises DataError for bytes that are cut short, altered or of another codec, before decoding
        any; NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().decode([])
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        if isinstance(written, bytes):
            raise DataError("decode takes the list that encode returns; for one image, [written]")
        contents = []
        for place, each in enumerate(written):
            if not isinstance(each, bytes):
                raise DataError(f"number {place} is {type(each).__name__}, not bytes from encode")
            contents.append(coding.unwrap_row(each, self._digest))
        symbols = np.empty((len(contents), self.tables_.latent), dtype=np.int32)
        with bar(len(contents), "decoding", "image", progress) as progress_bar:
            for row, content in enumerate(contents):
                symbols[row] = self._coder.decode_row(content)
                progress_bar.update()
        return self._images(symbols)

    @survives_fork
    def write(self, path: str | Path, images: Any) -> Path:
        """Writes images to one file atomically and returns the path.

        One image is written as by `encode`; several share one header of 34 bytes, and their codes
        are not rounded up to bytes. images: (n, *shape_) uint8. Raises DataError for other images,
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
            content = coding.wrap_rows(codes, len(symbols), self.shape_, self._digest)
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
            if not content.startswith(coding.MAGIC):
                return self.decode([content])
            codes, rows = coding.unwrap_rows(content, self.shape_, self._digest)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        if rows * self.tables_.least > 8 * (len(codes) + SLACK):
            raise DataError(
                f"{path}: its header has {rows:,} images, more than fit into {len(codes):,} bytes "
                "of code; write it again"
            )
        return self._images(self._coder.decode_columns(codes, rows))

    @survives_fork
    def bits(self, images: Any) -> np.ndarray:
        """-log2 of the probability of each image's code, (n,) float64: the lower bound of its bits.

        images: (n, *shape_) uint8. Raises DataError for other images, NotFittedError before fit.

        >>> recae.apply.compress.ImageCodec().bits(np.zeros((1, 28, 28), np.uint8))
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        return self.tables_.bits(self._symbols(read_images(images, self.shape_)))

    # Shared by the methods above.

    def _symbols(self, images: np.ndarray) -> np.ndarray:
        net, flat = self.network_, torch.from_numpy(images.reshape(len(images), -1))
        mean = decoder_of(net).mean
        # Converted batch by batch: floats of all images would take four times the memory.
        hidden = in_batches(lambda part: net.encoder(part.float() / 255 - mean), flat, mean.device)
        numbers = code_of(net).numbers(hidden)
        return self.tables_.symbols(numbers.clamp(-(2**30), 2**30).long().numpy())

    def _images(self, symbols: np.ndarray) -> np.ndarray:
        if not len(symbols):
            return np.empty((0, *self.shape_), dtype=np.uint8)
        z = torch.from_numpy(self.tables_.numbers(symbols)).float() * code_of(self.network_).step
        pixels = decoder_of(self.network_).rows
        images = in_batches(lambda part: levels(pixels(part)), z, z.device)
        return images.numpy().reshape(len(z), *self.shape_)

    def _written(self, symbols: np.ndarray, progress: bool | None = None) -> list[bytes]:
        written = []
        with bar(len(symbols), "encoding", "image", progress) as progress_bar:
            for row in symbols:
                written.append(coding.wrap_row(self._coder.encode_row(row), self._digest))
                progress_bar.update()
        return written

    @cached_property
    def _coder(self) -> Coder:
        return Coder(self.tables_)

    @cached_property
    def _digest(self) -> bytes:
        """SHA-256 of everything that the meaning of a code depends on."""
        found = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode())
        for name, tensor in sorted(self._arrays().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(np.ascontiguousarray(tensor.numpy()).data)
        return found.digest()

    def _forget(self) -> None:
        for name in ("_coder", "_digest"):
            self.__dict__.pop(name, None)

    def _proof(self) -> int:
        """A checksum of one encoded code, which detects an incompatible entropy coder."""
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
