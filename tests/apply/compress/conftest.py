"""Small made-up images, and a codec for them."""

from __future__ import annotations

import numpy as np
import pytest

import recae


def discs(n: int, seed: int, channels: int = 0) -> np.ndarray:
    """Soft discs of many sizes, places and brightnesses, (n, 10, 10) or with channels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:10, :10]
    places, radii = rng.uniform(2, 8, (n, 2, 1, 1)), rng.uniform(1, 4, (n, 1, 1))
    far = np.hypot(x - places[:, 0], y - places[:, 1]) - radii
    light = rng.uniform(80, 255, (n, 1, 1))
    images = light / (1 + np.exp(2 * far))
    if channels:
        images = images[..., None] * rng.uniform(0.3, 1, (n, 1, 1, channels))
    return images.astype(np.uint8)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return discs(120, seed=1)


@pytest.fixture(scope="session")
def codec() -> recae.apply.compress.ImageCodec:
    made = recae.apply.compress.ImageCodec(bytes_per_image=14, hidden=(32,), latent=24, epochs=25)
    return made.fit(discs(400, seed=0), discs(200, seed=2))
