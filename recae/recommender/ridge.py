"""Minus (X'X + diag(r))^-1, through whichever of its two sides is smaller: items or users."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.errors import ConfigError
from recae.recommender.inverse import gram_matrix, negative_inverse

COLUMNS = 128
"""Columns of the result made at a time: few enough for the cache, enough for a sparse product."""


def over_items(
    matrix: Any,
    ridge: np.ndarray,
    dtype: np.dtype[Any],
    l2: float,
    shown: Any,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """-P, (n_items, n_items) in the dtype, and the diagonal of P = (X'X + diag(r))^-1.

    matrix: X, CSR (rows, n_items); ridge: r, (n_items,) float64, above zero. Costs items^3
    operations. Raises ConfigError when rounding leaves no positive definite matrix.
    """
    gram = gram_matrix(matrix, dtype)
    with np.errstate(over="ignore"):
        gram[np.diag_indices_from(gram)] += ridge
    if not np.isfinite(gram.diagonal()).all():
        raise ConfigError(
            f"X'X + l2 I is beyond the numbers of {dtype} at l2={l2}: lower l2, or scale down the "
            "weights of interactions if they reach the model"
        )
    negative_inverse(gram, l2, shown, device)
    return gram, -gram.diagonal()


def over_users(
    matrix: Any, ridge: np.ndarray, l2: float, shown: Any, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """The same through the users: -P in float32, and the diagonal of P in float64.

    With R = diag(r) and Y = X R^-1/2, P = R^-1/2 (I - Y' (I + YY')^-1 Y) R^-1/2 (Woodbury 1950).
    Costs users^3 operations and interactions x (users + items / 2) for the products, which are
    sparse; one user-user matrix in float64 beside the result. What is left of I in the brackets is
    small where an item has many users, and with it the digits that are left of a number: in float32
    scores were up to a hundred times as far off as through the items, so that nothing here is in
    float32 before the end.
    """
    roots = ridge**-0.5
    items = sp.csr_matrix((matrix.astype(np.float64) @ sp.diags(roots)).T)  # Y': (n_items, n_users)
    system = gram_matrix(items, np.dtype(np.float64))
    system[np.diag_indices_from(system)] += 1
    negative_inverse(system, l2, shown, device)
    n = len(ridge)
    inverse, diagonal = np.empty((n, n), np.float32), np.empty(n)
    for start in range(0, n, COLUMNS):
        stop = min(start + COLUMNS, n)
        solved = (items[start:stop] @ system).T  # (n_users, columns)
        part = items[start:] @ np.ascontiguousarray(solved)  # from the diagonal down
        part[np.diag_indices(stop - start)] += 1
        part *= roots[start:stop]
        part *= -roots[start:, None]
        diagonal[start:stop] = -part.diagonal()
        inverse[start:, start:stop] = part
        inverse[start:stop, stop:] = part[stop - start :].T
    shown.update()
    return inverse, diagonal
