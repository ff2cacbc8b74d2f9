"""ImageCodec: lossy compression of images to a given number of bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress.coding import ROW, Tables
from recae.apply.compress.fitted import LONGEST, FittedCodec, as_rows, psnr, read_images
from recae.apply.compress.learning import Learning, codec_network
from recae.errors import DataError, TrainingInterrupted, warn
from recae.estimators.params import estimator, learnt, param
from recae.estimators.saved import Contents, filled, hyperparameters, shape_of, write
from recae.nn import AutoencoderNet
from recae.rng import check_seed
from recae.system.machine import enough_memory
from recae.system.progress import check_progress
from recae.system.threads import survives_fork
from recae.training import resolve_device

MISSED = 0.02
"""Relative deviation from the target bytes that gives no warning."""


@estimator
class ImageCodec(FittedCodec):
    """A lossy codec for images of one kind and size, learnt from examples of them.

    loss = sum_i (x_i - f(z)_i)^2 + weight * bits(z), z the code rounded to whole steps; the weight
    is adapted in training, and the step set at its end, so that an image takes `bytes_per_image`
    bytes on average (Balle, Laparra & Simoncelli 2017; Theis et al. 2017). Encoder and decoder are
    each a linear map, initialised with principal axes, plus an MLP. Codes are written by a range
    coder with integer tables, so that they are decoded identically on every machine; the pixels are
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

    network_: AutoencoderNet = learnt()
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

        >>> from recae.apply.compress import ImageCodec
        >>> images = np.random.default_rng(0).integers(0, 255, (50, 4, 4)).astype("uint8")
        >>> ImageCodec(bytes_per_image=12, hidden=(16,), epochs=20).fit(images).shape_
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
            self._learn(given, asked, seed, device, progress)
        return self

    def _learn(
        self,
        given: np.ndarray,
        asked: np.ndarray,
        seed: int,
        device: torch.device,
        progress: bool | None,
    ) -> None:
        rows = as_rows(given)
        mean = rows.mean(0).half().float()  # as it will be saved
        rows -= mean
        measured = rows if asked is given else as_rows(asked) - mean
        latent = min(self.latent, *rows.shape)
        code_bytes = self.bytes_per_image - ROW.size
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
        self._forget()
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

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the codec to a folder with a model card, atomically, for `recae.load`.

        Weights take two bytes each. Raises StorageError for a path that is taken (unless it holds
        what recae has saved and `overwrite`), no permission or a full disk; NotFittedError before
        fit.

        >>> recae.apply.compress.ImageCodec().save("codec")
        Traceback (most recent call last):
        recae.errors.NotFittedError: this ImageCodec is not fitted: call fit first
        """
        self._check_fitted()
        settings = self._settings() | {
            "bytes": self.bytes_,
            "psnr": self.psnr_,
            "proof": self._proof(),
            "facts": {
                "Reached": {
                    "bytes an image": f"{self.bytes_:.2f}",
                    "PSNR in dB": f"{self.psnr_:.2f}",
                    "shape of an image": " x ".join(map(str, self.shape_)),
                }
            },
        }
        return write(type(self), Contents(settings, self._arrays()), path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> Self:
        codec = cls().set_params(**hyperparameters(settings))
        codec.check_params()
        codec._restore(settings, dict(arrays))
        if codec._proof() != settings["proof"]:
            raise ValueError(
                "the installed version of constriction codes differently than the one it was saved "
                "with; install that version"
            )
        return codec

    def _restore(self, settings: Any, arrays: dict[str, Tensor]) -> None:
        self.shape_ = shape_of(settings["shape"])
        if len(self.shape_) not in (2, 3) or max(self.shape_) > LONGEST:
            raise ValueError(f"images of the shape {self.shape_}")
        self.bytes_, self.psnr_ = float(settings["bytes"]), float(settings["psnr"])
        names = ("tables.low", "tables.sizes", "tables.counts")
        self.tables_ = Tables(*(arrays.pop(name).numpy().astype(np.int64) for name in names))
        problem = self.tables_.problem()
        if problem is not None:
            raise ValueError(problem)
        self.fitted_params_ = self.get_params()
        self.network_ = filled(
            lambda: codec_network(
                torch.empty(math.prod(self.shape_)), self.hidden, self.tables_.latent
            ),
            {name: tensor.float() for name, tensor in arrays.items()},
            unsaved=".prior.",
        )
