"""8-bit images as arrays and as rows of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import DataError

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


def psnr(images: np.ndarray, others: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error over all pixels).

    Both (n, ...) uint8; infinite for equal ones.
    """
    error = np.square(images.astype(np.float64) - others).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
