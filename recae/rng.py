"""Random generators: the only module that turns seeds into generators; global state is not used."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

import numpy as np
import torch

from recae.errors import ConfigError


@unique
class Stream(IntEnum):
    """The register of random streams: each use of a seed has a number of its own.

    A generator of (seed, stream) is independent of all others of that seed. Moving a number moves
    the results of all its users.
    """

    # training
    SHUFFLE = 1
    WEIGHTS = 2
    NOISE = 3
    NEGATIVES = 4
    HALVES = 5
    UNTRAINED = 6
    SAMPLED_ITEMS = 15
    SVD_START = 12
    ITEM_CLUSTERS = 19
    # transformers
    PSEUDO_INPUTS = 8
    GENERATED = 9
    LIKELIHOOD = 10
    REVIVED_UNITS = 7
    # tuning
    TRIALS = 11
    BLEND_HALVES = 18
    # compression of embeddings
    EMBEDDING_TRIAL = 13
    DICTIONARY_ORDER = 14
    DICTIONARY_UNUSED = 16
    DICTIONARY_REVIVED = 17
    # synthetic users
    SYNTHETIC_USERS = 21
    SYNTHETIC_CALIBRATION = 22
    MIXTURE_NOISE = 23
    BASELINE_LENGTHS = 24
    BASELINE_ITEMS = 25
    BASELINE_USERS = 26
    REPORT_HALVES = 27
    REPORT_NEAREST = 28
    REPORT_MEMBERS = 29
    # anomalies
    ATTACK_FILLERS = 31
    ATTACK_RATINGS = 32
    ATTACK_TARGET = 33
    ATTACK_TIMES = 34
    RECONSTRUCTION_FOLDS = 41
    RECONSTRUCTION_PARTS = 42
    DETECTOR_SPLIT = 51
    # splits
    TESTED_USERS = 61
    WEAK_FOLDS = 62
    # lists
    EXPLORED = 71
    FORECAST_USERS = 72


def check_seed(seed: object) -> int:
    """The seed as an int >= 0. Raises ConfigError for anything else (None included)."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        value = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(
            f"seed must be an integer >= 0, not {seed!r}", parameter="seed", value=seed
        ) from None
    if value < 0:
        raise ConfigError(
            f"seed must be an integer >= 0, not {value}", parameter="seed", value=value
        )
    return value


@contextmanager
def random_kept() -> Iterator[None]:
    """Leaves the generator of Python's `random` as it was: importing scikit-learn draws from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def numpy_generator(seed: int, *stream: int) -> np.random.Generator:
    """A numpy Generator for (seed, stream); different streams are independent."""
    return np.random.default_rng([check_seed(seed), *stream])


def torch_generator(seed: int, *stream: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch Generator on `device` for (seed, stream); different streams are independent."""
    words = np.random.SeedSequence([check_seed(seed), *stream]).generate_state(1, np.uint64)
    generator = torch.Generator(device=device)
    return generator.manual_seed(int(words[0] >> np.uint64(1)))


def uniforms(seed: int, stream: int, keys: np.ndarray, width: int) -> np.ndarray:
    """Numbers in [0, 1), (keys, width): those of a key depend on the seed, the stream and the key
    alone, not on the other keys. keys: (n,) uint64.

    SplitMix64 as a hash of a counter (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014).
    """
    start = np.random.SeedSequence([check_seed(seed), stream]).generate_state(1, np.uint64)
    with np.errstate(over="ignore"):
        mixed = _mixed(
            _mixed(keys.astype(np.uint64) + start)[:, None]
            + _STEP * np.arange(width, dtype=np.uint64)
        )
    found: np.ndarray = (mixed >> np.uint64(11)) / np.float64(2**53)
    return found


_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = state ^ (state >> np.uint64(31))
    return found
