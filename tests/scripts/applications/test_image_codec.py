"""What the script `image_codec` says of JPEG and WebP."""

from __future__ import annotations

import io

import numpy as np
import pytest

from evaluation.applications.image_codec.classic_codecs import (
    WEBP_HEADER,
    classic_codecs,
    jpeg,
    jpeg_scan_bytes,
    webp,
)
from evaluation.applications.image_codec.rivals import Measured, bytes_at, shared

NOISE = np.random.default_rng(0).integers(0, 255, (5, 28, 28)).astype(np.uint8)


def test_scan_bytes_are_what_lies_between_the_header_of_the_scan_and_the_end() -> None:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(NOISE[0]).save(stream, "JPEG", quality=50)  # sequential: one scan
    content = stream.getvalue()
    # A grey scan has a header of 2 + 8 bytes and ends with the file's last two.
    assert jpeg_scan_bytes(content) == len(content) - 2 - content.index(b"\xff\xda") - 10


def test_both_sizes_of_a_progressive_file_are_below_the_whole() -> None:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(NOISE[0]).save(stream, "JPEG", quality=50, progressive=True)
    assert 300 < jpeg_scan_bytes(stream.getvalue()) < len(stream.getvalue()) - 150


def test_the_webp_header_is_where_its_data_begin() -> None:
    from PIL import Image

    content = webp(Image.fromarray(NOISE[0]), 20)
    assert content[:4] == b"RIFF" and content[12:16] == b"VP8 "
    assert content[23:26] == b"\x9d\x01\x2a"  # the start code of a frame, before two sizes
    assert len(content) > WEBP_HEADER == 26 + 4


@pytest.mark.parametrize("name", ["JPEG", "JPEG, tiled", "WebP", "WebP, tiled"])
def test_images_come_back_in_their_order(name: str) -> None:
    make, qualities = classic_codecs()[name]
    flat = np.repeat(np.arange(5, dtype=np.uint8) * 40 + 20, 28 * 28).reshape(5, 28, 28)
    point = make(flat, qualities[-1])
    assert np.abs(point.images.astype(int) - flat).mean() < 4
    assert 0 <= point.bare_bytes < point.bytes


def test_a_rival_meets_the_bytes_by_two_qualities() -> None:
    def point(bytes: float, errors: list[float]) -> Measured:
        mse = np.array(errors)
        psnr = 10 * np.log10(255**2 / mse.mean())
        return Measured("WebP", bytes, bytes, bytes - 1, psnr, bytes / 100, mse, NOISE)

    points = [point(30.0, [100.0, 300.0]), point(50.0, [20.0, 60.0])]
    # A quarter of the images at the higher quality: 3/4 * 30 + 1/4 * 50 = 35 bytes.
    mixed = shared(points, "bytes", 35.0)
    assert (mixed.bytes, mixed.bare_bytes, mixed.ssim) == pytest.approx((35, 34, 0.35))
    assert mixed.errors.tolist() == pytest.approx([80, 240])
    assert mixed.psnr == pytest.approx(10 * np.log10(255**2 / 160))
    assert shared(points, "bytes", 10.0) is points[0]
    assert shared(points, "bytes", 99.0) is points[1]
    assert bytes_at(points, "bytes", 99.0) is None
    assert bytes_at(points, "bytes", points[1].psnr) == pytest.approx(50)


@pytest.mark.parametrize("name", ["JPEG, tiled at 50%", "WebP, tiled at 75%"])
def test_shrunk_pictures_are_smaller_and_of_the_same_size_again(name: str) -> None:
    make, qualities = classic_codecs()[name]
    point = make(NOISE, qualities[3])
    assert point.images.shape == NOISE.shape
    assert point.bytes < classic_codecs()[name[:4] + ", tiled"][0](NOISE, qualities[3]).bytes


def test_the_smaller_of_two_jpegs_is_taken() -> None:
    from PIL import Image

    image = Image.fromarray(NOISE[0])
    sizes = []
    for progressive in (False, True):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=30, optimize=True, progressive=progressive)
        sizes.append(len(stream.getvalue()))
    assert len(jpeg(image, 30)) == min(sizes)
