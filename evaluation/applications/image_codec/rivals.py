"""The comparison of `image_codec`: one codec against another at equal bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measured:
    """One codec at one rate on the test images."""

    codec: str
    setting: float
    bytes: float
    bare_bytes: float
    psnr: float
    ssim: float
    errors: np.ndarray  # squared error of each image, the mean over its pixels
    shown: np.ndarray

    def row(self) -> dict[str, Any]:
        """The stored values."""
        names = ("codec", "setting", "bytes", "bare_bytes", "psnr", "ssim")
        return {name: getattr(self, name) for name in names}


def versus(ours: tuple[Measured, Measured], classics: list[Measured]) -> dict[str, Any]:
    """One of our rates compared with every rival at equal bytes, or at the fewest bytes it can
    reach.

    Files of one image are compared with files of one image, both with real bytes and without fixed
    headers; our single file is compared with tiled pictures.
    """
    alone, packed = ours
    rows = []
    for name in dict.fromkeys(m.codec for m in classics):
        points = [m for m in classics if m.codec == name]
        mine = packed if "tiled" in name else alone
        for size in ("bytes", "bare_bytes"):
            rival = shared(points, size, getattr(mine, size))
            gain = rival.errors - mine.errors
            rows.append(
                {
                    "rival": name,
                    "counted": "real" if size == "bytes" else "without headers",
                    "quality": rival.setting,
                    "our_bytes": getattr(mine, size),
                    "rival_bytes": getattr(rival, size),
                    "our_psnr": mine.psnr,
                    "rival_psnr": rival.psnr,
                    "our_ssim": mine.ssim,
                    "rival_ssim": rival.ssim,
                    # Squared error saved per image, in standard errors of its mean: a paired test.
                    "z": float(gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain)))),
                    "bytes_for_our_psnr": bytes_at(points, size, mine.psnr),
                }
            )
    return {"bytes": alone.bytes, "one_file_bytes": packed.bytes, "rows": rows}


def shared(points: list[Measured], size: str, wanted: float) -> Measured:
    """A rival at this many bytes: some images at one quality and the others at the next.

    The mixture takes exactly these bytes, with errors, similarities and setting interpolated. If
    all points take more (or fewer) bytes, it is the point with the fewest (or most).
    """
    rising = sorted(points, key=lambda m: float(getattr(m, size)))
    above = next((i for i, m in enumerate(rising) if getattr(m, size) >= wanted), len(rising))
    if above in (0, len(rising)):
        return rising[0 if above == 0 else -1]
    low, high = rising[above - 1], rising[above]
    share = (wanted - getattr(low, size)) / (getattr(high, size) - getattr(low, size))

    def between(name: str) -> Any:
        return (1 - share) * getattr(low, name) + share * getattr(high, name)

    mixed = ("setting", "bytes", "bare_bytes", "ssim", "errors")
    errors = between("errors")
    psnr = float(10 * np.log10(255**2 / errors.mean()))
    return replace(low, psnr=psnr, **{name: between(name) for name in mixed})


def bytes_at(points: list[Measured], size: str, psnr: float) -> float | None:
    """The bytes at which a rival reaches a PSNR, interpolated between its qualities; None outside
    them."""
    sizes = [getattr(m, size) for m in points]
    reached = [m.psnr for m in points]
    if not min(reached) <= psnr <= max(reached):
        return None
    order = np.argsort(reached)
    logs = np.interp(psnr, np.array(reached)[order], np.log(sizes)[order])
    return float(np.exp(logs))


def pays_after(facts: dict[str, Any], found: dict[str, Any]) -> dict[str, float | None]:
    """Number of images after which the saved bytes exceed those of the codec itself."""
    answer: dict[str, float | None] = {}
    for row in found["rows"]:
        if row["counted"] == "real" and row["rival"] in ("JPEG", "WebP", "WebP, tiled"):
            needed = row["bytes_for_our_psnr"] or row["rival_bytes"]
            saved = needed - row["our_bytes"]
            answer[row["rival"]] = facts["saved_bytes"] / saved if saved > 0 else None
    return answer
