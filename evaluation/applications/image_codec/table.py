"""The table of what `image_codec` has measured, for docs/results.md."""

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
"""Column -> a rival and what of its bytes was counted."""

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
    """Bytes and distortion of Fashion-MNIST beside JPEG and WebP."""
    return "Fashion-MNIST in few bytes", text(result), HEAD, rows(result)


def text(result: dict[str, Any]) -> str:
    """What the table shows."""
    return (
        f"`python -m evaluation image_codec DATA --images {result['images']}`. "
        f"{result['images']:,} test images, "
        f"{result['training_images']:,} to train on and {result['held_out']:,} others on which the "
        "bytes asked for were met. Bytes an image as real files: each image by itself, all in one "
        "file. A rival's cell is its PSNR at as many bytes as ours (some images at one quality, "
        "the others at the next) or, where its lowest quality takes more, at that one; and the "
        "bytes it took. Bare: "
        "neither its fixed headers (for JPEG no header or table at all) nor our five bytes are "
        "counted. Tiled: all images in one picture, against our one file; shrunk: every image at "
        "50 % of its size and enlarged again. Paid for: the "
        "images after which the codec's own bytes are saved against WebP of the same PSNR (or its "
        "lowest), by itself / tiled. Encode and decode are images a second of processor "
        "time, one by one. PSNR is that of the mean squared error of "
        f"all images, SSIM the mean of {result['ssim_images']:,}; Gaussian windows.\n\n"
        "![Rate against distortion](../evaluation/results/image_codec_curves.png)\n"
        "![Images](../evaluation/results/image_codec_images.png)"
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
