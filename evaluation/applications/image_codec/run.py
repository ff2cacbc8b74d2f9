"""Fashion-MNIST in few bytes: ImageCodec compared with JPEG and WebP, rate against distortion."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.applications.image_codec.classic_codecs import Point, classic_codecs
from evaluation.applications.image_codec.picture import curves
from evaluation.applications.image_codec.rivals import Measured, pays_after, versus
from evaluation.kit.pictures import picture_of_images
from evaluation.kit.provenance import RESULTS, keep
from recae.apply.compress import ImageCodec
from recae.apply.compress.coding import HEAD_BYTES, ROW

NAME = "image_codec"
BYTES = (12.0, 24.0, 40.0, 64.0)
"""Target bytes of the four codecs, chosen on training images: below WebP's smallest files, and the
last above the point where WebP is better for thousands of images in one picture."""

HELD_OUT = 5_000
"""Number of training images on which the target bytes are met."""

SSIM_IMAGES = 2_000
OURS = "ImageCodec"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table and stores it, with two plots, in evaluation/results."""
    parser = argparse.ArgumentParser(prog=f"python -m evaluation {NAME}", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with train.npz and test.npz")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--rows", type=int, default=None, help="number of training images (default: all)"
    )
    parser.add_argument("--codecs", type=Path, help="folder of fitted codecs, made if missing")
    parser.add_argument(
        "--images", type=int, default=None, help="number of test images (default: all)"
    )
    args = parser.parse_args(argv)
    train, valid, test = read(args.data, args.rows, args.images)
    kept = args.codecs or Path(tempfile.mkdtemp())
    ours, about = [], []
    for asked in BYTES:
        codec, seconds = fitted(asked, train, valid, args.epochs, kept)
        alone, packed, facts = of_codec(codec, test, kept / f"{asked:g}")
        ours.append((alone, packed))
        about.append(facts | {"asked": asked, "fit_seconds": seconds, "codec": repr(codec)})
        print(facts, flush=True)
    classics = []
    for name, (make, qualities) in classic_codecs().items():
        for quality in qualities:
            classics.append(measured(name, quality, make(test, quality), test))
        print(name, *(f"{m.bytes:.1f} B {m.psnr:.2f} dB" for m in classics[-len(qualities) :]))
    rivals = [versus(pair, classics) for pair in ours]
    for facts, found in zip(about, rivals, strict=True):
        facts["pays_after_images"] = pays_after(facts, found)
    result = {
        "images": len(test),
        "training_images": len(train),
        "held_out": HELD_OUT,
        "ssim_images": min(SSIM_IMAGES, len(test)),
        "codecs": about,
        "rows": [m.row() for pair in ours for m in pair] + [m.row() for m in classics],
        "versus": rivals,
    }
    keep(NAME, result)
    curves(result, RESULTS / f"{NAME}_curves.png")
    pictures = pictured(test, ours, classics)
    picture_of_images(
        {name: images / 255 for name, images in pictures.items()},
        RESULTS / f"{NAME}_images.png",
    )
    report(rivals, about)
    return 0


def read(
    folder: Path, rows: int | None, images: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train, held-out and test images, (n, 28, 28) uint8."""
    train, test = (np.load(folder / f"{part}.npz")["images"] for part in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train))
    spread = np.linspace(0, len(test) - 1, images or len(test)).astype(np.int64)
    return train[order[HELD_OUT:]][:rows], train[order[:HELD_OUT]], test[spread]


def fitted(
    asked: float, train: np.ndarray, valid: np.ndarray, epochs: int, folder: Path
) -> tuple[ImageCodec, float | None]:
    """The codec saved in the folder, or a new one saved there; and the seconds of its fit."""
    path = folder / f"{asked:g}"
    if path.is_dir():
        return recae.load(path, ImageCodec), None
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    codec = ImageCodec(bytes_per_image=asked, epochs=epochs).fit(train, valid)
    seconds = time.perf_counter() - started
    codec.save(path)
    return codec, seconds


def of_codec(
    codec: ImageCodec, test: np.ndarray, saved: Path
) -> tuple[Measured, Measured, dict[str, Any]]:
    """ImageCodec image by image and with all images in one file: real bytes, sizes and speeds.

    Speeds are images per second of processor time, because the machine may do other work.
    """
    clock = [time.process_time()]
    written = codec.encode(test)
    clock.append(time.process_time())
    decoded = codec.decode(written)
    clock.append(time.process_time())
    with tempfile.TemporaryDirectory() as folder:
        path = codec.write(Path(folder) / "all", test)
        clock.append(time.process_time())
        size, same = path.stat().st_size, np.array_equal(codec.read(path), decoded)
        clock.append(time.process_time())
    assert same
    mean = float(np.mean([len(content) for content in written]))
    alone = measured(OURS, codec.bytes_per_image, Point(mean, mean - ROW.size, decoded), test)
    packed = replace(
        alone,
        codec=f"{OURS}, one file",
        bytes=size / len(test),
        bare_bytes=(size - HEAD_BYTES) / len(test),
    )
    speeds = [len(test) / seconds for seconds in np.diff(clock)]
    names = ("encode", "decode", "write", "read")
    facts: dict[str, Any] = {
        "bytes": mean,
        "ideal_code_bytes": float(codec.bits(test).mean() / 8),
        "one_file_bytes": size / len(test),
        "psnr": alone.psnr,
        "ssim": alone.ssim,
        "saved_bytes": sum(file.stat().st_size for file in saved.iterdir()),
        "images_a_second": dict(zip(names, speeds, strict=True)),
    }
    return alone, packed, facts


def measured(name: str, setting: float, point: Point, test: np.ndarray) -> Measured:
    """PSNR from the mean squared error of all images; SSIM of some, evenly spread."""
    from skimage.metrics import structural_similarity

    errors = np.square(point.images.astype(np.float64) - test).mean(axis=(1, 2))
    some = np.linspace(0, len(test) - 1, min(SSIM_IMAGES, len(test))).astype(np.int64)
    ssim = [
        structural_similarity(
            test[i], point.images[i], data_range=255, gaussian_weights=True, sigma=1.5
        )
        for i in some
    ]
    psnr = float(10 * np.log10(255**2 / errors.mean()))
    shown = point.images[:: max(len(test) // 10, 1)][:10]
    return Measured(
        name, setting, point.bytes, point.bare_bytes, psnr, float(np.mean(ssim)), errors, shown
    )


def pictured(
    test: np.ndarray, ours: list[tuple[Measured, Measured]], classics: list[Measured]
) -> dict[str, np.ndarray]:
    """Ten test images, decoded by ImageCodec at each rate and by WebP at equal bytes."""
    rows = {"original": test[:: max(len(test) // 10, 1)][:10]}
    for _, packed in ours:
        rows[f"ImageCodec\n{packed.bytes:.0f} B, {packed.psnr:.1f} dB"] = packed.shown
        for kind in ("WebP, tiled", "JPEG, tiled"):
            points = [m for m in classics if m.codec.startswith(kind)]
            best = max(
                [m for m in points if m.bytes <= packed.bytes * 1.05]
                or [min(points, key=lambda m: m.bytes)],
                key=lambda m: m.psnr,
            )
            label = best.codec.replace(", ", "\n")
            rows[f"{label}\n{best.bytes:.0f} B, {best.psnr:.1f} dB"] = best.shown
    return rows


def report(rivals: list[dict[str, Any]], about: list[dict[str, Any]]) -> None:
    """Prints the comparison as a table."""
    for found, facts in zip(rivals, about, strict=True):
        print(
            f"\n{facts['asked']:g} bytes asked, {facts['bytes']:.2f} a file of one image, "
            f"{facts['one_file_bytes']:.2f} in one file; {facts['psnr']:.2f} dB, SSIM "
            f"{facts['ssim']:.3f}; the codec {facts['saved_bytes'] / 1e6:.2f} MB, paid for after "
            f"{facts['pays_after_images']}"
        )
        for row in found["rows"]:
            print(
                f"  {row['rival']:<20} {row['counted']:<16} q{row['quality']:<4.1f} "
                f"{row['our_bytes']:6.1f} against {row['rival_bytes']:6.1f} B   "
                f"PSNR {row['our_psnr']:5.2f} against {row['rival_psnr']:5.2f} dB   "
                f"SSIM {row['our_ssim']:.3f} against {row['rival_ssim']:.3f}   z {row['z']:+.0f}"
            )
