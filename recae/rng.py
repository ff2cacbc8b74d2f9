"""Seeds become generators here and nowhere else; global random state is never touched."""

from __future__ import annotations

import operator

import numpy as np
import torch

from recae.errors import ConfigError


def check_seed(seed: object) -> int:
    """The seed as an int >= 0. Raises ConfigError for anything else (None included)."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        value = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"seed must be an integer >= 0, not {seed!r}") from None
    if value < 0:
        raise ConfigError(f"seed must be an integer >= 0, not {value}")
    return value


def numpy_generator(seed: int, *stream: int) -> np.random.Generator:
    """A numpy Generator for (seed, stream); different streams are independent."""
    return np.random.default_rng([check_seed(seed), *stream])


def torch_generator(seed: int, *stream: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch Generator on `device` for (seed, stream); different streams are independent."""
    words = np.random.SeedSequence([check_seed(seed), *stream]).generate_state(1, np.uint64)
    generator = torch.Generator(device=device)
    return generator.manual_seed(int(words[0] >> np.uint64(1)))
