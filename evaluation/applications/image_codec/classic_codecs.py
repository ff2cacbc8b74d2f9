"""JPEG and WebP on small grey images at their smallest: image by image, and many in one picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

WEBP_HEADER = 30
"""Bytes of a lossy WebP file before its data: RIFF and chunk headers 20, frame header 10."""

QUALITIES = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50)
QUALITY_OF_JPEG = (1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 75)


@dataclass(frozen=True)
class Point:
    """A codec at one quality: mean bytes per image, with and without fixed headers, and images."""

    bytes: float
    bare_bytes: float
    images: np.ndarray


Make = Callable[[np.ndarray, int], Point]


def classic_codecs() -> dict[str, tuple[Make, tuple[int, ...]]]:
    """Maps a name to (function, qualities). The function maps (n, height, width) uint8 and a
    quality to a Point."""
    kinds = {
        "JPEG": (jpeg, jpeg_scan_bytes, QUALITY_OF_JPEG),
        "WebP": (webp, lambda content: len(content) - WEBP_HEADER, QUALITIES),
    }
    found: dict[str, tuple[Make, tuple[int, ...]]] = {}
    for name, (write, bare, qualities) in kinds.items():
        found[name] = (partial(one_by_one, write, bare), qualities)
        found[f"{name}, tiled"] = (partial(tiled, write, bare, 1.0), qualities)
        for scale in (0.75, 0.5):
            label = f"{name}, tiled at {scale:.0%}"
            found[label] = (partial(tiled, write, bare, scale), qualities)
    return found


def jpeg(image: Any, quality: int) -> bytes:
    """The smaller of sequential and progressive JPEG, with Huffman tables made for the image."""
    return min((_saved(image, "JPEG", quality, progressive=p) for p in (False, True)), key=len)


def webp(image: Any, quality: int) -> bytes:
    """The slowest and best method."""
    return _saved(image, "WEBP", quality, method=6)


def one_by_one(
    write: Callable[[Any, int], bytes],
    bare: Callable[[bytes], int],
    images: np.ndarray,
    quality: int,
) -> Point:
    """Every image in its own file."""
    from PIL import Image

    files = [write(Image.fromarray(image), quality) for image in images]
    return Point(
        float(np.mean([len(content) for content in files])),
        float(np.mean([bare(content) for content in files])),
        np.stack([_read(content) for content in files]),
    )


def tiled(
    write: Callable[[Any, int], bytes],
    bare: Callable[[bytes], int],
    scale: float,
    images: np.ndarray,
    quality: int,
) -> Point:
    """All images side by side in one picture, which shares its header and its tables.

    scale: each image is shrunk to this scale before and enlarged afterwards. This reaches fewer
    bytes than the lowest quality.
    """
    from PIL import Image

    n, height, width = images.shape
    small = (round(width * scale), round(height * scale))
    shrunk = images if scale == 1 else resized(images, small)
    across = int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    padded = np.concatenate([shrunk, np.zeros((across * down - n, *shrunk.shape[1:]), np.uint8)])
    grid = padded.reshape(down, across, small[1], small[0])
    content = write(
        Image.fromarray(grid.transpose(0, 2, 1, 3).reshape(down * small[1], -1)), quality
    )
    back = _read(content).reshape(down, small[1], across, small[0]).transpose(0, 2, 1, 3)
    shown = back.reshape(-1, small[1], small[0])[:n]
    shown = shown if scale == 1 else resized(shown, (width, height))
    return Point(len(content) / n, bare(content) / n, shown)


def resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images at another (width, height), by Lanczos's filter."""
    from PIL import Image

    lanczos = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(i).resize(size, lanczos)) for i in images])


def jpeg_scan_bytes(content: bytes) -> int:
    """Bytes of the entropy-coded data of a JPEG file, without markers, headers and tables."""
    place, total = 2, 0  # after the start marker of the file
    while place < len(content) - 2:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        place += 2 + length
        if marker != 0xDA:  # the header of a scan; its data follow
            continue
        start = place
        while (
            content[place] != 0xFF or content[place + 1] == 0 or 0xD0 <= content[place + 1] < 0xD8
        ):
            place += 1
        total += place - start
    return total


def _saved(image: Any, kind: str, quality: int, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, quality=quality, optimize=True, **options)
    return stream.getvalue()


def _read(content: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))
