"""Distributions of codes and history lengths, learnt from real users, to draw users from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recae.apply.generate.codes import check_samples, posterior
from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, DataError, check_integer, check_option
from recae.models.neural._base import NeuralRecommender
from recae.nn import Gaussian
from recae.recommend.requests import align
from recae.rng import Stream, numpy_generator, random_kept

LEVELS = (np.arange(256) + 0.5) / 256
"""Levels of the quantiles kept. The longest histories, which could identify a user, are above."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lengths:
    """The distribution of history lengths: quantiles (256,) at LEVELS, all >= 1."""

    quantiles: FloatArray

    @classmethod
    def of(cls, lengths: Any) -> Lengths:
        """From lengths (users,), all >= 1."""
        return cls(np.quantile(np.asarray(lengths, dtype=np.float64), LEVELS))

    def at(self, normal: FloatArray) -> IntArray:
        """Lengths for standard normal scores, in their shape and order."""
        from scipy.special import ndtr

        found = np.interp(ndtr(normal), LEVELS, self.quantiles)
        return np.maximum(np.rint(found), 1).astype(np.int64)


def normal_scores(lengths: Any) -> FloatArray:
    """Standard normal scores of lengths (users,), from their mid-ranks (van der Waerden 1952)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(lengths) - 0.5) / len(lengths)))


@dataclass(frozen=True)
class Mixture:
    """sum_k shares_k N(means_k, L_k L_k'): shares (k,), means (k, d), factors L (k, d, d)."""

    shares: FloatArray
    means: FloatArray
    factors: FloatArray

    @classmethod
    def fit(cls, points: FloatArray, components: int, seed: int) -> Mixture:
        """Fits a mixture to points (n, d) with scikit-learn's GaussianMixture (k-means, then EM).

        Each covariance is then shrunk towards the pooled one, with the weight of d points (as in
        regularised discriminant analysis, Friedman 1989). Its diagonal gets a thousandth of the
        mean variance, so that no component fits a few points closely. Memory: components x (n +
        d^2) numbers; time of an EM step: components x n x d^2 operations.
        """
        with random_kept():
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.mixture import GaussianMixture

        n, d = points.shape
        floor = 1e-3 * max(float(points.var(axis=0).mean()), 1e-12)
        state = int(numpy_generator(seed).integers(2**32))
        model = GaussianMixture(components, reg_covar=floor, max_iter=50, random_state=state)
        with warnings.catch_warnings(), threadpool_limits(1, "openmp"):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(points)
        diagonal = floor * np.eye(d)
        scatter = n * model.weights_[:, None, None] * (model.covariances_ - diagonal)
        weight = 0.0 if components == 1 else float(d)
        shrunk = scatter + weight * scatter.sum(axis=0) / n
        shrunk /= (n * model.weights_ + weight)[:, None, None]
        return cls(model.weights_, model.means_, np.linalg.cholesky(shrunk + diagonal))

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Draws n points, (n, d)."""
        edges = np.cumsum(self.shares)[:-1]
        chosen = np.searchsorted(edges, generator.random(n), side="right")
        noise = generator.standard_normal((n, self.means.shape[1]))
        points: FloatArray = np.empty_like(noise)
        for k in range(len(self.shares)):
            own = chosen == k
            points[own] = self.means[k] + noise[own] @ self.factors[k].T
        return points


CODES = ("mixture", "posterior", "prior")
MOST_USERS = 50_000
"""Users whose codes are used; a sample of them if there are more."""
USERS_PER_NUMBER, MOST_COMPONENTS = 10, 20
"""Users per component and number of a code, and the largest default number of components."""

Drawn = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class Source(Protocol):
    """A distribution of codes and of the lengths of their histories."""

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        """n codes, (n, width), and lengths, (n,)."""
        ...


@dataclass(frozen=True, repr=False)
class FromMixture:
    """Codes and normal scores of lengths, jointly from a mixture."""

    mixture: Mixture
    lengths: Lengths

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        points = self.mixture.draw(n, generator)
        return points[:, :-1].astype(np.float32), self.lengths.at(points[:, -1])


@dataclass(frozen=True, repr=False)
class FromPosterior:
    """The posterior of a random training user: means and deviations (users, width)."""

    means: npt.NDArray[np.float32]
    deviations: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        users = generator.integers(len(self.means), size=n)
        noise = generator.standard_normal((n, self.means.shape[1]), dtype=np.float32)
        return self.means[users] + self.deviations[users] * noise, self.lengths[users]


@dataclass(frozen=True, repr=False)
class FromPrior:
    """Codes from N(0, 1), and lengths independent of them."""

    width: int
    lengths: Lengths

    def draw(self, n: int, generator: np.random.Generator) -> Drawn:
        codes = generator.standard_normal((n, self.width), dtype=np.float32)
        return codes, self.lengths.at(generator.standard_normal(n))


def source_of(
    model: Any, data: Any, codes: str, components: int | None, seed: int
) -> tuple[NeuralRecommender, Source, npt.NDArray[np.float64]]:
    """The checked model, the source of codes, and the share of users of each item.

    Raises ConfigError and DataError before any history is encoded.
    """
    model = check_samples(model)
    check_option("codes", codes, CODES)
    if codes == "prior" and not isinstance(model.network_.code, Gaussian):
        raise ConfigError(
            f"{type(model).__name__} has no standard normal prior, as MultVAE has: take "
            "codes='mixture'",
            parameter="codes",
            value=codes,
        )
    if components is not None and codes != "mixture":
        raise ConfigError(
            f"components need codes='mixture', not {codes!r}: leave them out",
            parameter="components",
            value=components,
        )
    real = active(histories(model, data), "no user of the data has an item of the model")
    width = model._code_width()
    users = min(real.n_users, MOST_USERS)
    if components is None:
        components = min(max(users // (USERS_PER_NUMBER * width), 1), MOST_COMPONENTS)
    else:
        components = check_integer("components", components, 1, users)
    lengths = np.diff(real.matrix.indptr)
    counts = np.bincount(real.matrix.indices, minlength=real.n_items)
    shares = np.maximum(counts, 0.5) / real.n_users  # never 0
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
    mixture = Mixture.fit(points, components, seed)
    return model, FromMixture(mixture, Lengths.of(lengths)), shares


def histories(model: NeuralRecommender, data: Any) -> Interactions:
    """The data, or else the interactions stored in the model, in the order of its items."""
    given = model.history_ if data is None else as_interactions(data, model.items_)
    if given is None:
        raise DataError(
            "this model was loaded without interactions: pass data=..., those it was fitted on, or "
            "save it with save(..., with_history=True)"
        )
    return align(given, model.items_)


def active(data: Interactions, complaint: str) -> Interactions:
    """The users with an item. Raises DataError with the complaint if there are none."""
    rows = np.flatnonzero(np.diff(data.matrix.indptr))
    if not len(rows):
        raise DataError(complaint)
    return data if len(rows) == data.n_users else data.select_users(rows)
