"""Truncated singular value decompositions of matrices that are known by their products only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data.scaled import Rows
from recae.data.scratch import is_mapped
from recae.rng import numpy_generator
from recae.system.machine import gpu_room
from recae.system.progress import bar

OVERSAMPLED = 20
"""Directions beyond those wanted, and a twentieth of those wanted if that is more: the error falls
with the gap between the last wanted value and the last one."""

DEGREE, PRODUCTS = 12, 240
"""Of the polynomial between two orthogonalisations at most, and products with A'A at most."""

DOUBLE_CELLS = 1 << 18
"""Numbers of the singular vectors, up to which they are computed in float64, in which a product
takes ten times as long."""

CLOSE = {torch.float32: 1e-2, torch.float64: 1e-6}
"""The shortest part of a unit vector that is new beside those before it, from which a Cholesky
factor of their products is accurate enough."""

STEEP = {torch.float32: 1e-2, torch.float64: 1e-4}
"""Singular values below this share of the largest one have lost digits to the square of A in A'A,
so they are computed again without it."""

NEGLIGIBLE = {torch.float32: 1e-4, torch.float64: 1e-10}
"""Singular values below this share of the largest one are taken for zero: rounding errors."""

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
"""Relative change of the wanted eigenvalues of A'A in a round at which it ends. A round makes the
error several times smaller, so less than that remains."""

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Products:
    """A sparse matrix A as its products with dense blocks, in all threads or on a device.

    Blocks of rows are kept if they are in memory, or if the device has room for them, and else read
    again for each product: the result is the same to the bit.
    """

    rows: Rows
    dtype: torch.dtype
    device: torch.device
    unit: float = 1.0
    kept: list[tuple[Any, Any]] | None = None

    @classmethod
    def of(
        cls,
        rows: Rows,
        dtype: torch.dtype,
        device: torch.device | None = None,
        unit: float = 1.0,
    ) -> Products:
        """Those of the scaled interactions divided by `unit`, (n_users, n_items)."""
        found = cls(rows, dtype, device or torch.device("cpu"), unit)
        if is_mapped(rows.matrix.data) and not found._fit_there():
            return found
        return replace(found, kept=[found._pair(part) for part in rows])

    def _fit_there(self) -> bool:
        """Whether the entries, transposed too, take half of what a GPU has free at most."""
        needed = 2 * (8 + self.dtype.itemsize) * self.rows.matrix.nnz
        return self.device.type == "cuda" and 2 * needed <= gpu_room(self.device)

    def image(self, basis: Tensor) -> Tensor:
        """A B, (rows, width), given B (columns, width)."""
        return torch.cat([_sums(part, basis) for part, _ in self._parts()])

    def transposed(self, basis: Tensor) -> Tensor:
        """A' B, (columns, width), given B (rows, width)."""
        total, start = None, 0
        for part, across in self._parts():
            stop = start + len(part[1]) - 1
            found = _sums(across, basis[start:stop])
            total, start = found if total is None else total.add_(found), stop
        assert total is not None
        return total

    def _parts(self) -> Any:
        return self.kept if self.kept is not None else map(self._pair, self.rows)

    def _pair(self, part: Any) -> tuple[Any, Any]:
        """Entries, offsets and values of some rows, and of them transposed."""
        both = part, sp.csr_matrix(part.T)
        first, second = (
            (
                torch.from_numpy(m.indices.astype(np.int64)).to(self.device),
                torch.from_numpy(m.indptr.astype(np.int64)).to(self.device),
                torch.from_numpy(m.data / np.float64(self.unit)).to(self.device, self.dtype),
            )
            for m in both
        )
        return first, second


def _sums(part: Any, table: Tensor) -> Tensor:
    """M T, (rows, width): M as entries, offsets and values, T (columns, width)."""
    entries, offsets, values = part
    return torch.nn.functional.embedding_bag(
        entries, table, offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def truncated_svd(
    rows: Rows,
    k: int,
    *,
    device: torch.device | None = None,
    start: np.random.Generator | None = None,
    most: int = PRODUCTS,
    progress: bool | None = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (rows, k), s (k,) falling and V (columns, k) of a sparse matrix, by `subspace_svd` of the
    A'A or AA', whichever is smaller.

    In float64 if the vectors have at most 2^18 numbers, else in float32. Directions beyond the rank
    of the matrix, up to rounding, are 0 in U, s and V. The largest number of a column of V is
    positive. device: of all of it; the CPU unless given.
    start: draws the random subspace, which changes only what the tolerance leaves open.

    Costs some 100 x interactions x k + 40 x min(rows, columns) x k^2 operations, and memory for
    5 x min(rows, columns) x k + 2 x (rows + columns) x k numbers, and where the spectrum is steep
    for 2 x max(rows, columns) x k more. (ARPACK, of scipy, is exact and
    takes eight times as long for 1,194 directions of the 30,000 users x 41,000 items of Gowalla.)
    """
    shape = rows.matrix.shape
    wanted, least = min(k, *shape), min(shape)
    width = min(wanted + max(OVERSAMPLED, wanted // 20), least)
    dtype = torch.float64 if sum(shape) * width <= DOUBLE_CELLS else torch.float32
    largest = max((float(np.abs(part.data).max(initial=0)) for part in rows), default=0) or 1.0
    products = Products.of(rows, dtype, device, largest)  # squares of weights may be too large
    image, back = products.image, products.transposed
    if shape[0] < shape[1]:
        image, back = back, image
    drawn = (start or numpy_generator(0)).standard_normal((least, width))
    begun = torch.from_numpy(drawn).to(products.device, dtype)
    scaled, s, near = subspace_svd(
        image, lambda basis: back(image(basis)), begun, wanted, most=most, progress=progress
    )
    far = scaled.div_(torch.where(s > 0, s, 1))
    u, v = (near, far) if shape[0] < shape[1] else (far, near)
    signs = torch.where(v.amax(0) < -v.amin(0), -1, 1)
    u, v = u * signs, v * signs
    missing = (0, k - wanted)
    left, right = (np.pad(vectors.cpu().numpy(), ((0, 0), missing)) for vectors in (u, v))
    return left, np.pad(s.cpu().numpy() * largest, missing), right


def subspace_svd(
    image: Product,
    gram: Product,
    start: Tensor,
    k: int,
    *,
    most: int = PRODUCTS,
    progress: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """U diag(s) (rows, k), s (k,) falling and V (columns, k) of a matrix A, which is given by its
    products only, so it need not be stored. Directions beyond its rank are 0.

    image: B (columns, width) -> A B (rows, width). gram: B -> A' A B, a new tensor.
    start: a random subspace (columns, width), width >= k, in the precision of the result. most:
    products with A'A at most, 4 or more; with few of them the result is rough.

    Chebyshev-filtered subspace iteration (Zhou, Saad, Tiago & Chelikowsky, "Self-consistent-field
    Calculations Using Chebyshev-filtered Subspace Iteration", J. Comput. Phys. 2006): between two
    orthogonalisations the subspace is multiplied by a polynomial of A'A that is small below the
    last value of the subspace and grows as fast as possible above. On flat spectra, as those of
    normalised interactions, that takes far fewer products than powers of A'A.
    """
    if start.shape[1] < len(start):  # else it is the space itself
        with bar(None, "singular vectors", "round", progress) as shown:
            basis = leading_subspace(gram, start, k, most, shown)
    else:
        basis, _ = ritz(gram, start)
    left = image(basis[:, :k].contiguous())
    # By the lengths, not as the roots of eigenvalues, which have half of the digits in float32.
    s, order = torch.linalg.vector_norm(left, dim=0).sort(descending=True)
    left, v = left[:, order], basis[:, order]
    if s[-1] < STEEP[s.dtype] * s[0]:
        left, inner = torch.linalg.qr(image(basis))
        turn, s, turned = torch.linalg.svd(inner)
        left, s, v = left @ (turn[:, :k] * s[:k]), s[:k], basis @ turned[:k].T
    s = torch.where(s > NEGLIGIBLE[s.dtype] * s[0], s, 0)
    return left * (s > 0), s, v * (s > 0)  # beyond the rank, V is whatever it began as


def leading_subspace(gram: Product, start: Tensor, k: int, most: int, shown: Any) -> Tensor:
    """Nearly the `k` leading eigenvectors of a positive operator and some more, (n, width),
    orthonormal. shown: a progress bar, updated after each round."""
    eps = torch.finfo(start.dtype).eps
    basis, values = ritz(gram, gram(start))
    left = most - 2
    while left > 1:
        top, cut = float(values[0]), float(values[-1].clamp(min=10 * eps * values[0]))
        if top <= 0:  # the matrix is zero
            break
        # A vector has an error of `eps` in the direction of the largest eigenvalue, and the
        # polynomial lets it grow: by no more than what `ritz` can orthogonalise again.
        degree = int(math.acosh(1 / eps) / math.acosh(2 * top / cut - 1 + eps))
        degree = min(max(degree, 1), DEGREE, left - 1)
        basis, found = ritz(gram, filtered(gram, basis, degree, cut, top))
        left -= degree + 1
        change = (found - values).abs()[:k] - 10 * eps * found[0]
        values = found
        shown.update()
        if bool((change <= TOLERANCE[start.dtype] * found[:k]).all()):
            break
    return basis


def ritz(gram: Product, basis: Tensor) -> tuple[Tensor, Tensor]:
    """The best eigenvectors within a subspace, (n, width), and their eigenvalues, falling."""
    basis = basis / torch.linalg.vector_norm(basis, dim=0).clamp(min=torch.finfo(basis.dtype).tiny)
    lower, failed = torch.linalg.cholesky_ex(basis.T @ basis)
    if failed or float(lower.diagonal().min()) < CLOSE[basis.dtype]:
        basis = torch.linalg.qr(basis).Q
        values, turn = torch.linalg.eigh(basis.T @ gram(basis))
    else:  # several times faster than QR: the basis itself is not orthogonalised
        inner = torch.linalg.solve_triangular(lower, basis.T @ gram(basis), upper=False)
        inner = torch.linalg.solve_triangular(lower.T, inner, upper=True, left=False)
        values, turn = torch.linalg.eigh((inner + inner.T) / 2)
        turn = torch.linalg.solve_triangular(lower.T, turn, upper=True)
    return basis @ turn.flip(1), values.flip(0)


def filtered(gram: Product, basis: Tensor, degree: int, cut: float, top: float) -> Tensor:
    """p(A'A) B with the Chebyshev polynomial of a degree that lies within 1 / T(top) on [0, cut]
    and is 1 at `top`."""
    half = cut / 2
    first = half / (top - half)
    rate, before = first, basis
    basis = gram(basis).sub_(basis, alpha=half).mul_(rate / half)
    for _ in range(degree - 1):
        new = 1 / (2 / first - rate)
        after = gram(basis).sub_(basis, alpha=half).mul_(2 * new / half)
        before, basis, rate = basis, after.sub_(before, alpha=rate * new), new
    return basis
