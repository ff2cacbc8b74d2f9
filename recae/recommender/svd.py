"""Singular vectors of sparse matrices, and the base of the models that are made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch
from torch import Tensor

from recae.data import Interactions
from recae.progress import bar
from recae.recommender.factors import FactorRecommender
from recae.recommender.hyperparameters import estimator, learnt, param
from recae.recommender.persistence import expect
from recae.recommender.slots import Run
from recae.recommender.sparse import summed, valued
from recae.rng import numpy_generator
from recae.splits import Fold

OVERSAMPLED = 20
"""Directions of a randomised decomposition beyond those wanted."""
POWERS = 3


@estimator
class SVDRecommender(FactorRecommender):
    """score_x = (x E) F': histories are embedded by E and meet the item factors F.

    A model supplies E and F, each (n_items, latent), from singular vectors.
    """

    latent: int = param(
        "number of singular vectors, at most; tune it", default=64, low=1, usual=(16, 512)
    )
    weights: str = param(
        "whether X holds the weights of interactions or ones",
        default="neither",
        choices=("neither", "both"),
    )

    input_factors_: np.ndarray = learnt()

    @abstractmethod
    def _factors(self, matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        """E and F, given X."""

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        factors = self._factors(valued(data.matrix, self.weights == "both").astype(np.float64))
        self.input_factors_, self.item_factors_ = (
            np.ascontiguousarray(part, dtype=np.float32) for part in factors
        )

    def _embed_rows(self, matrix: Any) -> Tensor:
        histories = valued(matrix, self.weights == "both")
        return summed(histories, torch.from_numpy(self.input_factors_))

    def _arrays(self) -> Mapping[str, Tensor]:
        return {**super()._arrays(), "input_factors": torch.from_numpy(self.input_factors_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        shape = len(self.items_), self.latent
        self.input_factors_ = expect(arrays["input_factors"], *shape).numpy()

    def _svd(self, matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """U (rows, latent), s (latent,) falling, V (columns, latent) of a sparse matrix.

        Of a matrix with fewer rows or columns than `latent`, the remaining ones are zeros.
        """
        least = min(matrix.shape)
        if self.latent < least:
            start = numpy_generator(0).standard_normal(least)  # the result does not depend on it
            u, s, vt = scipy.sparse.linalg.svds(matrix, k=self.latent, v0=start)  # ARPACK
        else:  # so small that a dense copy is no larger than the factors
            u, s, vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
        order, missing = np.argsort(-s), (0, max(self.latent - len(s), 0))
        u, s, v = u[:, order], s[order], vt[order].T
        return np.pad(u, ((0, 0), missing)), np.pad(s, missing), np.pad(v, ((0, 0), missing))


def randomised_svd(
    matrix: Any, k: int, generator: np.random.Generator, progress: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """s (k,) falling and V (columns, k) of a float32 CSR matrix, nearly: float32, `k` at most its
    rows and columns.

    A random subspace of k + 20 directions is multiplied by the matrix and its transpose three
    times, which leaves the leading singular vectors: exact where the spectrum falls steeply, and
    mixed with their neighbours where it is flat. Costs 14 x interactions x (k + 20) operations and
    some 10 x columns x (k + 20)^2, and memory for 2 x (rows + columns) x (k + 20) numbers.

    Halko, Martinsson & Tropp, "Finding Structure with Randomness", SIAM Review 2011, algorithms
    4.4 and 5.1; between the powers LU keeps the directions apart, which is cheaper than QR.
    """
    width = min(k + OVERSAMPLED, *matrix.shape)
    basis = generator.standard_normal((matrix.shape[1], width), dtype=np.float32)
    with bar(POWERS + 1, "singular vectors", "power", progress) as shown:
        for power in range(POWERS):
            basis = matrix.T @ (matrix @ basis)
            if power < POWERS - 1:
                basis, _ = scipy.linalg.lu(basis, permute_l=True, overwrite_a=True)
            shown.update()
        basis, _ = np.linalg.qr(basis)
        # Not by the eigenvalues of a Gram matrix: in float32 their roots lose half of the digits.
        image = np.linalg.qr(matrix @ basis, mode="r")
        _, s, turn = np.linalg.svd(image)
        shown.update()
    return s[:k], basis @ turn[:k].T
