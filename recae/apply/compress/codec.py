"""ImageCodec: lossy compression of images to a given number of bytes."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress import coding
from recae.apply.compress.coding import Coder, Tables
from recae.apply.compress.images import LONGEST, as_rows, psnr, read_images
from recae.apply.compress.learning import CodecNet, Learning, in_batches
from recae.errors import DataError, TrainingInterrupted, warn
from recae.estimators.params import Estimator, estimator, learnt, param
from recae.estimators.saved import Contents, filled, hyperparameters, shape_of, write
from recae.rng import check_seed
from recae.system.files import as_path, atomic_file, check_target, plain
from recae.system.machine import enough_memory
from recae.system.progress import bar, check_progress
from recae.system.threads import survives_fork
from recae.training import resolve_device

MISSED = 0.02
"""Relative deviation from the target bytes that gives no warning."""

SLACK = 8
"""Bytes that the range coder reads beyond the end of a code, as zeros."""


@estimator
class ImageCodec(Estimator):
    """A lossy codec for images of one kind and size, learnt from examples of them.

    loss = sum_i (x_i - f(z)_i)^2 + weight * bits(z), z the code rounded to whole steps; the weight
    is adapted in training, and the step set at its end, so that an image takes `bytes_per_image`
    bytes on average (Balle, Laparra & Simoncelli 2017; Theis et al. 2017). Encoder and decoder are
    each a linear map, initialised with principal axes, plus an MLP. Codes are written by a range
    coder with integer tables, so they are decoded identically on every machine. The pixels are
    floating point, rounded to 0 ... 255, and may differ by 1 between machines or batch sizes.

    Good for many small similar images, at rates below the headers of JPEG or WebP. Decoding needs
    the codec, some MB, see `save`. The network reads a full image at once: cut large images into
    squares. Fitting takes about 6 x images x weights operations per epoch, with weights =
    2 x (pixels x (hidden + latent) + ...), and 4 x pixels bytes per image.

    After `fit`: `bytes_` and `psnr_` (dB) are measured on the validation images, or else on the
    training images; `shape_` is the shape of an image. Needs `pip install "recae[compress]"`.

    >>> from recae.apply.compress import ImageCodec
    >>> images = np.random.default_rng(0).integers(0, 255, (50, 4, 4)).astype("uint8")
    >>> codec = ImageCodec(bytes_per_image=12, hidden=(16,), epochs=20).fit(images)
    >>> written = codec.encode(images[:1])[0]
    >>> len(written) < 16, codec.decode([written]).shape
    (True, (1, 4, 4))
    """

    bytes_per_image: float = param(
        "mean length of what `encode` gives, 5 bytes of it not code", default=24.0, low=6, high=1e6
    )
    latent: int = param("numbers in a code, at most", default=128, low=1, usual=(16, 512))
    hidden: tuple[int, ...] = param(
        "widths of the layers of the encoder's MLP, mirrored in the decoder",
        default=(512, 512),
        low=1,
    )
    epochs: int = param("passes over the images", default=30, low=2)
    batch_size: int = param("images per update", default=128, low=1, usual=(32, 512))
    lr: float = param("learning rate", default=2e-3, above=0, usual=(3e-4, 3e-3))

    network_: CodecNet = learnt()
    tables_: Tables = learnt()
    shape_: tuple[int, ...] = learnt()
    bytes_: float = learnt()
    psnr_: float = learnt()

    @survives_fork
    def fit(
        self,
        images: Any,
        validation: Any = None,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        progress: bool | None = None,
    ) -> Self:
        """Learns a codec for images like these and returns self.

        images: (n, height, width) or (n, height, width, channels) uint8, at least 2. validation:
        other images, on which the bytes are met; the images themselves take slightly fewer. seed:
        an integer >= 0; the same seed gives the same codec. device: "auto", "cpu", "cuda", for
        training only. progress: True, False, or None to show a bar only in a terminal.

        Warns if the bytes differ from the target by more than 2 %. Raises DataError for unusable or
        identical images, ConfigError for bad options, and on Ctrl-C TrainingInterrupted, with the
        codec fitted to its current state, once an epoch is finished.

        >>> codec.fit(images).shape_
        (4, 4)
        """
        self.check_params()
        check_progress(progress)
        seed, device = check_seed(seed), resolve_device(device)
        given = read_images(images)
        asked = given if validation is None else read_images(validation, given.shape[1:])
        if (given == given[:1]).all():
            raise DataError("all images are identical: pass images that differ")
        with enough_memory(f"fitting {self!r} on {len(given):,} images"):
            rows = as_rows(given)
            mean = rows.mean(0).half().float()  # as it will be saved
            rows -= mean
            measured = rows if asked is given else as_rows(asked) - mean
            latent = min(self.latent, *rows.shape)
            code_bytes = self.bytes_per_image - coding.ROW.size
            learning = Learning(rows, measured, mean, self.hidden, latent, code_bytes)
            interrupted = None
            try:
                learning.run(
                    epochs=self.epochs,
                    batch_size=self.batch_size,
                    lr=self.lr,
                    seed=seed,
                    device=device,
                    progress=progress,
                )
            except TrainingInterrupted as interruption:
                learning.finish()
                interrupted = interruption
            self.network_, self.shape_ = learning.net, given.shape[1:]
            self.fitted_params_ = self.get_params()
            self.tables_ = learning.tables()
            for name in ("_coder", "_digest"):  # of an earlier fit
                self.__dict__.pop(name, None)
            sample = asked[np.unique(np.linspace(0, len(asked) - 1, 2000).astype(np.int64))]
            symbols = self._symbols(sample)
            self.bytes_ = float(np.mean([len(content) for content in self._written(symbols)]))
            self.psnr_ = psnr(sample, self._images(symbols))
        if interrupted is not None:
            raise interrupted
        off = self.bytes_ / self.bytes_per_image - 1
        if abs(off) > MISSED:
            warn(
                f"an image takes {self.bytes_:.1f} bytes, not bytes_per_image="
                f"{self.bytes_per_image:g}: raise epochs or change bytes_per_image"
            )
        return self

    @survives_fork
    def encode(self, images: Any, *, progress: bool | None = None) -> list[bytes]:
        """Encodes each image by itself to bytes, in their order; `write` makes files of them.

        images: (n, *shape_) uint8. Five bytes of each are a header with a checksum. Raises
        DataError for other images, NotFittedError before fit.

        >>> len(codec.encode(images))
        50
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

        >>> codec.decode(codec.encode(images)).shape
        (50, 4, 4)
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
    def write(self, path: str | Path, images: Any, *, overwrite: bool = False) -> Path:
        """Writes images to one file atomically and returns the path.

        One image is written as by `encode`; several share one header of 34 bytes, and their codes
        are not rounded up to bytes. images: (n, *shape_) uint8. overwrite: replace a file that is
        there. Raises DataError for other images, ConfigError for an ending other than .rci or none,
        StorageError for a missing folder, a directory in the way, no permission or a full disk.

        >>> codec.write("many.rci", images).name
        'many.rci'
        """
        self._check_fitted()
        check_target(path, overwrite=overwrite, endings=(".rci", ""))
        symbols = self._symbols(read_images(images, self.shape_))
        if len(symbols) == 1:
            (content,) = self._written(symbols)
        else:
            codes = self._coder.encode_columns(symbols)
            content = coding.wrap_rows(codes, len(symbols), self.shape_, self._digest)
        with atomic_file(path, overwrite=overwrite) as part:
            part.write_bytes(content)
        return Path(path)

    @survives_fork
    def read(self, path: str | Path) -> np.ndarray:
        """The images of a file that `write` wrote, (n, height, width) or with channels, uint8.

        Raises DataError for a file that is missing, cut short, altered, foreign, or of another
        codec; NotFittedError before fit.

        >>> codec.read(codec.write("fifty.rci", images)).shape
        (50, 4, 4)
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

        >>> codec.bits(images).shape
        (50,)
        """
        self._check_fitted()
        return self.tables_.bits(self._symbols(read_images(images, self.shape_)))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the codec to a folder with a model card, atomically, for `recae.load`.

        Weights take two bytes each. Raises StorageError for a path that is taken (unless it holds
        what recae has saved and `overwrite`), no permission or a full disk; NotFittedError before
        fit.

        >>> recae.load(codec.save("codec")).shape_
        (4, 4)
        """
        self._check_fitted()
        reached = {
            "bytes an image": f"{self.bytes_:.2f}",
            "PSNR in dB": f"{self.psnr_:.2f}",
            "shape of an image": " x ".join(map(str, self.shape_)),
        }
        settings = self._settings() | {
            "bytes": self.bytes_,
            "psnr": self.psnr_,
            "proof": self._proof(),
            "facts": {"Reached": reached},
        }
        return write(type(self), Contents(settings, self._arrays()), path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> Self:
        """The codec of a saved folder. Raises ValueError for impossible shapes and tables, and
        where the installed entropy coder gives other bytes than the one it was saved with."""
        codec = cls().set_params(**hyperparameters(settings))
        codec.check_params()
        codec.fitted_params_, codec.shape_ = codec.get_params(), shape_of(settings["shape"])
        if len(codec.shape_) not in (2, 3) or max(codec.shape_) > LONGEST:
            raise ValueError(f"images of the shape {codec.shape_}")
        codec.bytes_, codec.psnr_ = float(settings["bytes"]), float(settings["psnr"])
        names = ("tables.low", "tables.sizes", "tables.counts")
        codec.tables_ = Tables(*(arrays[name].numpy().astype(np.int64) for name in names))
        problem = codec.tables_.problem()
        if problem is not None:
            raise ValueError(problem)
        features, latent = math.prod(codec.shape_), codec.tables_.latent
        codec.network_ = filled(
            lambda: CodecNet(torch.empty(features), codec.hidden, latent),
            {name: tensor.float() for name, tensor in arrays.items() if name not in names},
            unsaved=".prior.",
        )
        if codec._proof() != settings["proof"]:
            raise ValueError(
                "the installed version of constriction codes differently than the one it was saved "
                "with; install that version"
            )
        return codec

    def _symbols(self, images: np.ndarray) -> np.ndarray:
        net, flat = self.network_, torch.from_numpy(images.reshape(len(images), -1))
        mean = net.decoder.mean
        # Converted batch by batch: floats of all images would take four times the memory.
        hidden = in_batches(lambda part: net.encoder(part.float() / 255 - mean), flat, mean.device)
        numbers = net.code.numbers(hidden)
        return self.tables_.symbols(numbers.clamp(-(2**30), 2**30).long().numpy())

    def _images(self, symbols: np.ndarray) -> np.ndarray:
        if not len(symbols):
            return np.empty((0, *self.shape_), dtype=np.uint8)
        net = self.network_
        z = torch.from_numpy(self.tables_.numbers(symbols)).float() * net.code.step
        images = in_batches(lambda part: (255 * net.decoder.rows(part)).round().byte(), z, z.device)
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
        found = hashlib.sha256(json.dumps(self._settings(), sort_keys=True, default=plain).encode())
        for name, tensor in sorted(self._arrays().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(np.ascontiguousarray(tensor.numpy()).data)
        return found.digest()

    def _proof(self) -> int:
        """A checksum of one encoded code, which detects an incompatible entropy coder."""
        places = np.arange(self.tables_.latent)
        symbols = (7 * places % self.tables_.sizes).astype(np.int32)
        return zlib.crc32(self._coder.encode_row(symbols))

    def _settings(self) -> dict[str, Any]:
        return {"params": self.get_params(), "shape": list(self.shape_)}

    def _arrays(self) -> dict[str, Tensor]:
        """The weights in half precision, as the saved codec uses them, and the tables; the prior is
        left out, because coding needs only the tables."""
        tables = self.tables_
        weights = {
            name: tensor.half() if tensor.dim() else tensor
            for name, tensor in self.network_.state_dict().items()
            if not name.startswith("code.prior.")
        }
        return weights | {
            f"tables.{name}": torch.from_numpy(getattr(tables, name).astype(np.int32))
            for name in ("low", "sizes", "counts")
        }
