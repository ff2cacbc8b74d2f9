"""The base of the linear autoencoders: B in closed form, in the memory of one such matrix."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import Interactions
from recae.errors import CapacityError, ConfigError, warn
from recae.memory import total_memory
from recae.progress import bar
from recae.recommender.base import Recommender
from recae.recommender.hyperparameters import estimator, learnt, param
from recae.recommender.persistence import expect
from recae.recommender.slots import Run
from recae.recommender.sparse import valued
from recae.splits import Fold

BLOCK = 1024
"""Rows of the item-item matrix handled at a time beside the matrix itself."""

SPARE = 0.85
"""Share of the memory that one item-item matrix may take."""


@estimator
class LinearRecommender(Recommender):
    """B = I - P diag(c), with P = (X'X + diag(r))^-1 and the scores of a history x being x B.

    With powers u and v, X is first scaled by the degrees of users and items, and the result scaled
    back: X becomes D_U^-u X D_I^-v, and then B becomes D_I^-v B D_I^v.

    A model supplies the ridge r, given the diagonal of X'X, and the scale c, given that of P. With
    c = r it is a plain ridge regression of X on itself; a larger c_j makes B_jj smaller, and
    c_j = 1 / P_jj makes it zero (Moon, Kim & Lee, SIGIR 2023, which derives all of them as one).
    """

    l2: float = param(
        "ridge; grows with the density of the data, tune it",
        default=200.0,
        above=0,
        usual=(0.1, 5000),
    )
    weights: str = param(
        "whether X holds the weights of interactions or ones",
        default="neither",
        choices=("neither", "both"),
    )
    user_power: float = param(
        "u: users count as their number of items to the power of -2u",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 0.5),
    )
    item_power: float = param(
        "v: from 0, as the paper has it, to 0.5, which brings up what few have; l2 shrinks with it",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 0.5),
    )
    precision: str = param(
        "float of the inversion; auto is float64 where that fits in memory, else float32",
        default="auto",
        choices=("auto", "float64", "float32"),
        usual=("auto",),
    )

    weights_: Tensor = learnt()

    def _ridge(self, gram_diagonal: np.ndarray) -> np.ndarray:
        """r, (n_items,), given the diagonal of X'X; the same for all items by default."""
        return np.full_like(gram_diagonal, self.l2)

    @abstractmethod
    def _scale(self, inverse_diagonal: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        """c, (n_items,), given the diagonal of P."""

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        dtype = self._dtype(data.n_items)
        matrix, item_scale = self._scaled(valued(data.matrix, self.weights == "both"))
        blocks = -(-data.n_items // BLOCK)
        with bar(blocks, type(self).__name__, "block", run.progress) as shown:
            gram = gram_matrix(matrix, dtype)
            ridge = self._ridge(gram.diagonal().copy())
            gram[np.diag_indices_from(gram)] += ridge
            negative_inverse(gram, self.l2, shown)  # -P from here on
        diagonal = -gram.diagonal()
        scale = self._scale(diagonal, ridge)
        gram *= scale / item_scale
        gram *= item_scale[:, None]
        kept = 1 - scale * diagonal
        # What is zero but for rounding is zero: an item must not speak for itself at all.
        np.fill_diagonal(gram, np.where(np.abs(kept) < 8 * np.finfo(dtype).eps, 0, kept))
        self.weights_ = torch.from_numpy(to_float32(gram))

    def _scaled(self, matrix: Any) -> tuple[Any, np.ndarray]:
        """D_U^-u X D_I^-v in float64 and the diagonal of D_I^-v; ones where nothing is."""
        degrees = [np.asarray(matrix.sum(axis=axis, dtype=np.float64)).ravel() for axis in (1, 0)]
        of_users, of_items = (
            np.where(degree > 0, degree, 1) ** -power
            for degree, power in zip(degrees, (self.user_power, self.item_power), strict=True)
        )
        if self.user_power or self.item_power:
            matrix = sp.diags(of_users) @ matrix.astype(np.float64) @ sp.diags(of_items)
        return matrix, of_items

    def _dtype(self, n_items: int) -> np.dtype[Any]:
        available, name = SPARE * total_memory(), type(self).__name__
        least = "float64" if self.precision == "float64" else "float32"
        needed = np.dtype(least).itemsize * n_items**2
        if needed > available:
            raise CapacityError(
                f"{name} on {n_items:,} items needs {needed / 1e9:.1f} GB for one item-item "
                f"matrix in {least}, and {available / 1e9:.1f} GB may be used: keep fewer items "
                f"with data.filter(min_per_item=...), or use MultVAE or ALS"
            )
        if self.precision != "auto":
            return np.dtype(self.precision)
        if 8 * n_items**2 <= available:
            return np.dtype("float64")
        warn(
            f"{name} on {n_items:,} items inverts in float32: float64 would need "
            f"{8 * n_items**2 / 1e9:.1f} GB"
        )
        return np.dtype("float32")

    def _score_rows(self, matrix: Any) -> Tensor:
        histories = valued(matrix, self.weights == "both")
        return torch.nn.functional.embedding_bag(  # sums each history's rows in its own order
            torch.from_numpy(histories.indices.astype(np.int64)),
            self.weights_,
            torch.from_numpy(histories.indptr.astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(histories.data),
            include_last_offset=True,
        )  # (rows, n_items)

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """How much each of some items speaks for all others: rows of `weights_`."""
        return self.weights_[torch.from_numpy(codes)]

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"weights": self.weights_}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.weights_ = expect(arrays["weights"], len(self.items_), len(self.items_))


def gram_matrix(matrix: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """X'X, dense and C-contiguous, from sparse products of one block of items at a time."""
    columns = matrix.tocsc().astype(dtype)
    gram = np.empty((matrix.shape[1],) * 2, dtype)
    for start in range(0, len(gram), BLOCK):
        block = columns[:, start : start + BLOCK].T @ columns  # (block, n_items) sparse
        gram[start : start + BLOCK] = block.toarray()
    return gram


def negative_inverse(gram: np.ndarray, l2: float, shown: Any) -> None:
    """Replaces a symmetric positive definite matrix by minus its inverse, in its own memory.

    Sweeps one block of items after the other (Goodnight, "A Tutorial on the SWEEP Operator", The
    American Statistician 1979): with P = A_kk^-1 and the row R = A_k., sweeping block k turns
    A_ij into A_ij - R_i' P R_j, A_ki into P R_i, and A_kk into -P. It costs items^3 operations,
    as Cholesky does, nearly all in products of blocks, and no second matrix. (The LAPACK that scipy
    ships crashed on 40,981 items.)
    """
    n = len(gram)
    buffer = np.empty(BLOCK * n, gram.dtype)
    for low in range(0, n, BLOCK):
        high = min(low + BLOCK, n)
        pivot = _inverse(gram[low:high, low:high], l2)
        row = np.zeros((high - low, n), gram.dtype)
        row[:, :low] = gram[:low, low:high].T
        row[:, high:] = gram[low:high, high:]
        scaled = pivot @ row
        for start in range(0, n, BLOCK):  # the upper triangle of blocks; the lower one is unused
            left, right = scaled[:, start : start + BLOCK].T, row[:, start:]
            product = buffer[: len(left) * (n - start)].reshape(len(left), n - start)
            gram[start : start + BLOCK, start:] -= np.matmul(left, right, out=product)
        gram[:low, low:high] = scaled[:, :low].T
        gram[low:high, high:] = scaled[:, high:]
        gram[low:high, low:high] = -pivot
        shown.update()
    for start in range(0, n, BLOCK):
        stop = start + BLOCK
        gram[stop:, start:stop] = gram[start:stop, stop:].T


def _inverse(block: np.ndarray, l2: float) -> np.ndarray:
    """The inverse of one symmetric positive definite block, through Cholesky in float64."""
    try:
        factor = np.linalg.cholesky(block.astype(np.float64))
    except np.linalg.LinAlgError:
        raise ConfigError(
            f"the matrix to be inverted is not positive definite at l2={l2}: raise l2"
        ) from None
    half = scipy.linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
    return (half.T @ half).astype(block.dtype)


def to_float32(matrix: np.ndarray) -> np.ndarray:
    """The matrix in float32, written over its own first half, the second half given back."""
    if matrix.dtype == np.float32:
        return matrix
    n = len(matrix)
    flat = matrix.reshape(-1)
    halves = flat.view(np.float32)[: n * n].reshape(n, n)
    for start in range(0, n, BLOCK):  # a row lands before where any later row still stands
        halves[start : start + BLOCK] = matrix[start : start + BLOCK].astype(np.float32)
    del flat, halves  # views into memory that the next line may move
    matrix.resize((n * n + 1) // 2, refcheck=False)
    return matrix.view(np.float32)[: n * n].reshape(n, n)
