"""The fold-in of ALS against its equations, solved user by user in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import recae
from recae.models.factors import _fold_in
from recae.models.factors._fold_in import FoldIn

RNG = np.random.default_rng(0)
ITEMS = RNG.standard_normal((50, 8)).astype(np.float32)


def histories(lengths: list[int], low: float, high: float) -> sp.csr_matrix:
    dense = np.zeros((len(lengths), len(ITEMS)), dtype=np.float32)
    for row, length in zip(dense, lengths, strict=True):
        row[RNG.choice(len(ITEMS), length, replace=False)] = RNG.uniform(low, high, length)
    return sp.csr_matrix(dense)


def one_by_one(confidences: sp.csr_matrix, l2: float) -> np.ndarray:
    """(Y'C Y + l2 I)^-1 Y'C p with c = 1 and p = 0 where there is no interaction."""
    y, found = ITEMS.astype(np.float64), []
    for row in confidences.toarray().astype(np.float64):
        c = np.where(row > 0, row, 1)
        gram = y.T @ (c[:, None] * y) + l2 * np.eye(y.shape[1])
        found.append(np.linalg.solve(gram, y.T @ (c * (row > 0))))
    return np.array(found)


# Histories shorter than a vector, as long, longer, of all items, and empty; confidences above 1,
# far above, where the equations are ill-conditioned, from tiny to huge, and on both sides of 1.
@pytest.mark.parametrize(
    ("low", "high", "off"),
    [(1, 40, 2e-5), (1e3, 1e5, 2e-5), (1e-3, 1e8, 2e-5), (0.1, 3, 2e-5), (1, 1, 2e-5)],
)
@pytest.mark.parametrize("cells", [1, 100, 1 << 21])
@pytest.mark.parametrize("l2", [0.0, 2.0])
def test_users_solve_their_equations(monkeypatch, low, high, off, cells, l2: float) -> None:
    monkeypatch.setattr(_fold_in, "CELLS", cells)
    confidences = histories([3, 0, 50, 1, 8, 7, 9, 0, 30], low, high)
    fold_in = FoldIn(ITEMS, l2)
    found = fold_in.vectors(confidences, confidences.data)
    expected = one_by_one(confidences, l2)
    np.testing.assert_allclose(found, expected, atol=off * np.abs(expected).max())
    scores = fold_in.scores(confidences, confidences.data).dense()
    expected = expected @ ITEMS.T
    np.testing.assert_allclose(scores, expected, atol=off * np.abs(expected).max())
    assert found.dtype == torch.float32 and not found[[1, 7]].any()


def test_no_rows_and_rows_by_themselves() -> None:
    fold_in, confidences = FoldIn(ITEMS, 1.0), histories([5, 2, 9, 4], 1, 10)
    assert fold_in.vectors(confidences[:0], np.ones(0)).shape == (0, 8)
    together = fold_in.vectors(confidences, confidences.data)
    alone = torch.cat([fold_in.vectors(row, row.data) for row in confidences])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)


def test_equations_without_a_single_solution_are_refused() -> None:
    few = np.concatenate([ITEMS[:5]] * 3)  # five vectors in eight dimensions
    for items in (few, np.zeros_like(ITEMS)):
        with pytest.raises(recae.ConfigError) as error:
            FoldIn(items, 0.0)
        assert error.value.parameter == "l2" and error.value.value == 0
        FoldIn(items, 0.1)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest result."""

    cells = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        leaves = torch.utils._pytree.tree_leaves(result)
        sizes = [leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        self.cells = max([self.cells, *sizes])
        return result


@pytest.mark.parametrize("confidence", [0.5, 1, 2])
def test_short_histories_do_not_take_the_memory_of_long_ones(monkeypatch, confidence) -> None:
    monkeypatch.setattr(_fold_in, "CELLS", 1 << 12)
    confidences = sp.csr_matrix(np.eye(50, dtype=np.float32)) * confidence
    fold_in, largest = FoldIn(ITEMS, 1.0), Largest()
    with largest:
        fold_in.scores(confidences, confidences.data)
    assert largest.cells == 50 * 8  # a matrix for each user would be 8 times as large


def test_infinite_confidences_are_refused() -> None:
    confidences = histories([3], 0.5, 2)
    confidences.data[0] = np.inf
    with pytest.raises(recae.ConfigError) as error:
        FoldIn(ITEMS, 1.0).vectors(confidences, confidences.data)
    assert error.value.parameter == "l2"
