"""EASE: the linear autoencoder in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from recae.data import Interactions
from recae.errors import CapacityError, ConfigError, warn
from recae.memory import total_memory
from recae.recommender import Recommender, Run, estimator, expect, learnt, param, valued
from recae.splits import Fold
from recae.training import bar

BLOCK = 1024
"""Rows of the item-item matrix handled at a time beside the matrix itself."""

SPARE = 0.85
"""Share of the memory that one item-item matrix may take."""


@estimator
class EASE(Recommender):
    """A linear autoencoder that may not use an item to explain itself.

    B = argmin |X - X B|^2 + l2 |B|^2 subject to diag(B) = 0, which is, with P = (X'X + l2 I)^-1,
    B_ij = -P_ij / P_jj and B_jj = 0. The scores of a history x are x B.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8. Often the best
    single model up to some 50,000 items, with one hyperparameter. Costs items^3 operations and one
    item-item matrix, 8 items^2 bytes while fitting in float64 and 4 items^2 otherwise and after.
    `weights_[i, j]` is how much item i in a history speaks for item j. Runs on the CPU.

    >>> recae.EASE(l2=1.0).fit(data).recommend(0)["item_id"].tolist()  # items 1 and 2 go together
    [2, 3]
    """

    name = "ease"

    l2: float = param("ridge; grows with the density of the data, tune it", default=200.0, above=0)
    weights: str = param(
        "whether X holds the weights of interactions or ones",
        default="neither",
        choices=("neither", "both"),
    )
    precision: str = param(
        "float of the inversion; auto is float64 where that fits in memory, else float32",
        default="auto",
        choices=("auto", "float64", "float32"),
    )

    weights_: Tensor = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        dtype = self._dtype(data.n_items)
        matrix = valued(data.matrix, self.weights == "both")
        blocks = -(-data.n_items // BLOCK)
        with bar(blocks, type(self).__name__, "block", run.progress) as shown:
            gram = _gram(matrix, dtype)
            gram[np.diag_indices_from(gram)] += dtype.type(self.l2)
            _negative_inverse(gram, self.l2, shown)
        self.weights_ = torch.from_numpy(_to_float32(_scaled(gram)))

    def _dtype(self, n_items: int) -> np.dtype[Any]:
        available = SPARE * total_memory()
        least = "float64" if self.precision == "float64" else "float32"
        needed = np.dtype(least).itemsize * n_items**2
        if needed > available:
            raise CapacityError(
                f"EASE on {n_items:,} items needs {needed / 1e9:.1f} GB for one item-item "
                f"matrix in {least}, and {available / 1e9:.1f} GB may be used: keep fewer items "
                f"with data.filter(min_per_item=...), or use MultVAE or ALS"
            )
        if self.precision != "auto":
            return np.dtype(self.precision)
        if 8 * n_items**2 <= available:
            return np.dtype("float64")
        warn(
            f"EASE on {n_items:,} items inverts in float32: float64 would need "
            f"{8 * n_items**2 / 1e9:.1f} GB"
        )
        return np.dtype("float32")

    def _score_rows(self, matrix: Any) -> Tensor:
        values = valued(matrix, self.weights == "both").data
        return torch.nn.functional.embedding_bag(  # sums each history's rows in its own order
            torch.from_numpy(matrix.indices.astype(np.int64)),
            self.weights_,
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(values),
            include_last_offset=True,
        )  # (rows, n_items)

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """How much each of some items speaks for all others: rows of `weights_`."""
        return self.weights_[torch.from_numpy(codes)]

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"weights": self.weights_}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.weights_ = expect(arrays["weights"], len(self.items_), len(self.items_))


def _gram(matrix: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """X'X, dense and C-contiguous, from sparse products of one block of items at a time."""
    columns = matrix.tocsc().astype(dtype)
    gram = np.empty((matrix.shape[1],) * 2, dtype)
    for start in range(0, len(gram), BLOCK):
        block = columns[:, start : start + BLOCK].T @ columns  # (block, n_items) sparse
        gram[start : start + BLOCK] = block.toarray()
    return gram


def _negative_inverse(gram: np.ndarray, l2: float, shown: Any) -> None:
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
        raise ConfigError(f"X'X + l2 I is not positive definite at l2={l2}: raise l2") from None
    half = scipy.linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
    return (half.T @ half).astype(block.dtype)


def _scaled(inverse: np.ndarray) -> np.ndarray:
    """B from -P, in place: every column divided by minus its diagonal entry, the diagonal zero."""
    inverse /= -inverse.diagonal().copy()
    np.fill_diagonal(inverse, 0)
    return inverse


def _to_float32(matrix: np.ndarray) -> np.ndarray:
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
