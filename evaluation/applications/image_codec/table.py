"""The table of `image_codec` for docs/results.md."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table

RIVALS = {
    "WebP": ("WebP", "real"),
    "WebP, bare": ("WebP", "without headers"),
    "JPEG, bare": ("JPEG", "without headers"),
    "WebP, tiled": ("WebP, tiled", "real"),
    "WebP, shrunk": ("WebP, tiled at 50%", "real"),
    "JPEG, tiled": ("JPEG, tiled", "real"),
}
"""Maps a column to a rival and to the bytes that count."""

HEAD = [
    "one image",
    "in one file",
    "PSNR",
    "SSIM",
    *RIVALS,
    "codec",
    "paid for",
    "encode",
    "decode",
]


def image_codec(result: dict[str, Any]) -> Table:
    """Bytes and distortion of Fashion-MNIST compared with JPEG and WebP."""
    return "Fashion-MNIST in few bytes", text(result), HEAD, rows(result)


def text(result: dict[str, Any]) -> str:
    """The text above the table."""
    return (
        f"`python -m evaluation image_codec DATA --images {result['images']}`. "
        f"{result['images']:,} test images, {result['training_images']:,} training images, and "
        f"{result['held_out']:,} others for meeting the target bytes. Bytes per image of real "
        "files: one image per file, or all in one file. Each cell of JPEG or WebP has its PSNR at "
        "equal bytes (some images at one quality, the others at the next), or at its lowest "
        "quality if that takes more, and its bytes. Bare: without its fixed headers (for JPEG "
        "without any header or table) and without our five bytes. Tiled: all images in one "
        "picture, compared with our single file. Shrunk: every image at 50 % of its size and "
        "enlarged again. Paid for: the number of images that save the codec's own bytes, compared "
        "with WebP of the same PSNR (or its lowest), single / tiled. Encode and decode are images "
        "per second of processor time, one by one. PSNR is that of the mean squared error of all "
        f"images; SSIM is the mean of {result['ssim_images']:,}, with Gaussian windows.\n\n![Rate "
        "against "
        "distortion](../evaluation/results/image_codec_curves.png)\n![Images](../evaluation/results/image_codec_images.png)"
    )


def rows(result: dict[str, Any]) -> list[list[str]]:
    """A row for each of the codec's rates."""
    found = []
    for facts, versus in zip(result["codecs"], result["versus"], strict=True):
        cells = [
            f"{facts['bytes']:.1f} B",
            f"{facts['one_file_bytes']:.1f} B",
            f"{facts['psnr']:.2f} dB",
            f"{facts['ssim']:.3f}",
        ]
        for rival, counted in RIVALS.values():
            (row,) = [r for r in versus["rows"] if (r["rival"], r["counted"]) == (rival, counted)]
            cells.append(f"{row['rival_psnr']:.2f} dB, {row['rival_bytes']:.0f} B")
        speed = facts["images_a_second"]
        found.append(
            [
                *cells,
                f"{facts['saved_bytes'] / 1e6:.2f} MB",
                " / ".join(
                    "never" if images is None else f"{images:,.0f}"
                    for images in map(facts["pays_after_images"].get, ("WebP", "WebP, tiled"))
                ),
                f"{speed['encode']:,.0f}",
                f"{speed['decode']:,.0f}",
            ]
        )
    return found
