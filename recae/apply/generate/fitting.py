"""What synthetic users are drawn from: codes and lengths, learnt from those of real ones."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from recae.apply.generate.codes import check_samples, posterior
from recae.apply.generate.mixture import Mixture
from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, DataError, unknown_option
from recae.models import MultVAE
from recae.models.neural._base import NeuralRecommender
from recae.nn import Gaussian
from recae.recommend.requests import align
from recae.rng import Stream, numpy_generator

LEVELS = (np.arange(256) + 0.5) / 256
"""Of the quantiles kept. The longest histories, which could name somebody, lie beyond the last."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lengths:
    """The distribution of the lengths of histories: quantiles (256,) at LEVELS, all >= 1."""

    quantiles: FloatArray

    @classmethod
    def of(cls, lengths: Any) -> Lengths:
        """Of lengths (users,), all >= 1."""
        return cls(np.quantile(np.asarray(lengths, dtype=np.float64), LEVELS))

    def at(self, normal: FloatArray) -> IntArray:
        """Lengths for standard normal numbers, in their shape: high numbers, long histories."""
        from scipy.special import ndtr

        found = np.interp(ndtr(normal), LEVELS, self.quantiles)
        return np.maximum(np.rint(found), 1).astype(np.int64)


def normal_scores(lengths: Any) -> FloatArray:
    """Standard normal numbers in the order of some lengths (users,), equal ones for equal lengths.

    Phi^-1 of the middle of a length's ranks, from 0 to 1 (van der Waerden 1952).
    """
    from scipy.special import ndtri

    lengths = np.asarray(lengths)
    ordered = np.sort(lengths)
    below = np.searchsorted(ordered, lengths, side="left")
    to = np.searchsorted(ordered, lengths, side="right")
    scores: FloatArray = ndtri((below + to) / 2 / len(lengths))
    return scores


CODES = ("mixture", "posterior", "prior")
MOST_USERS = 50_000
"""Users whose codes are looked at; of more, so many are drawn."""
USERS_PER_NUMBER, MOST_COMPONENTS = 10, 20

Drawn = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class Source(Protocol):
    """Draws codes (n, width) and lengths (n,)."""

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        """n codes and the lengths of their histories."""
        ...


@dataclass(frozen=True, repr=False)
class FromMixture:
    """Codes and normal scores of lengths, side by side, from a mixture."""

    mixture: Mixture
    lengths: Lengths

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        """n codes and the lengths of their histories."""
        points = self.mixture.draw(n, generator)
        return points[:, :-1].astype(np.float32), self.lengths.at(points[:, -1])


@dataclass(frozen=True, repr=False)
class FromPosterior:
    """The posterior of a user drawn at random: means and deviations (users, width)."""

    means: npt.NDArray[np.float32]
    deviations: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        """n codes and the lengths of their histories."""
        users = generator.integers(len(self.means), size=n)
        noise = generator.standard_normal((n, self.means.shape[1]), dtype=np.float32)
        return self.means[users] + self.deviations[users] * noise, self.lengths[users]


@dataclass(frozen=True, repr=False)
class FromPrior:
    """N(0, 1), and lengths that know nothing of the code."""

    width: int
    lengths: Lengths

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        """n codes and the lengths of their histories."""
        codes = generator.standard_normal((n, self.width), dtype=np.float32)
        return codes, self.lengths.at(generator.standard_normal(n))


def source_of(
    model: Any, data: Any, codes: str, components: int | None, seed: int, progress: bool | None
) -> tuple[NeuralRecommender, Source, npt.NDArray[np.float64]]:
    """The model, checked; what to draw codes from; and the shares of users that items have.

    Raises ConfigError and DataError, both before any history is encoded.
    """
    model = check_samples(model)
    if codes not in CODES:
        raise unknown_option("codes", codes, CODES)
    if codes == "prior" and not isinstance(model.network_.code, Gaussian):
        raise ConfigError(
            f"the prior of {type(model).__name__} is not the standard normal, or was needed by its "
            f"training alone: take codes='mixture' (only {MultVAE.__name__} has codes='prior')"
        )
    if components is not None and codes != "mixture":
        raise ConfigError(f"components are those of codes='mixture': leave them out of {codes!r}")
    real, width = histories(model, data), model._code_width()
    normals = _components(components, min(real.n_users, MOST_USERS), width)
    lengths = np.diff(real.matrix.indptr)
    counts = np.bincount(real.matrix.indices, minlength=real.n_items)
    shares = np.maximum(counts, 0.5) / real.n_users  # none is 0
    if codes == "prior":
        return model, FromPrior(width, Lengths.of(lengths)), shares
    matrix = real.matrix
    if real.n_users > MOST_USERS:
        some = np.sort(numpy_generator(seed).choice(real.n_users, MOST_USERS, replace=False))
        matrix, lengths = matrix[some], lengths[some]
    means, deviations = (part.numpy() for part in posterior(model, matrix))
    if codes == "posterior":
        return model, FromPosterior(means, deviations, lengths.astype(np.int64)), shares
    noise = numpy_generator(seed, Stream.MIXTURE_NOISE).standard_normal(means.shape)
    points = np.column_stack([means + deviations * noise, normal_scores(lengths)])
    mixture = Mixture.fit(points, normals, seed, progress)
    return model, FromMixture(mixture, Lengths.of(lengths)), shares


def histories(model: NeuralRecommender, data: Any) -> Interactions:
    """The interactions to learn from, in the items of the model, users without any left out."""
    if data is None and model.history_ is None:
        raise DataError(
            "this model carries no interactions: pass the data it was fitted on as data=..., or "
            "save it with save(..., with_history=True)"
        )
    given = model.history_ if data is None else as_interactions(data, model.items_)
    assert given is not None
    real = align(given, model.items_)
    active = np.flatnonzero(np.diff(real.matrix.indptr))
    if not len(active):
        raise DataError("nobody in the data has an item of the model: there is nothing to learn")
    return real if len(active) == real.n_users else real.select_users(active)


def _components(given: int | None, users: int, width: int) -> int:
    if given is None:
        return min(max(users // (USERS_PER_NUMBER * width), 1), MOST_COMPONENTS)
    try:
        value = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        value = 0
    if not 1 <= value <= users:
        raise ConfigError(
            f"components must be None or an integer from 1 to the {users:,} users, not {given!r}"
        )
    return value
