"""Non-negative least squares against scipy, which solves one problem at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch

from recae.data.nonnegative import nonnegative


@pytest.mark.parametrize(("n", "more"), [(1, 2), (6, 8), (30, 1)])
def test_it_solves_what_scipy_solves(n: int, more: int) -> None:
    rng = np.random.default_rng(n)
    designs, wanted = rng.random((15, n + more, n)), rng.standard_normal((15, n + more))
    expected = [
        scipy.optimize.nnls(a, y, maxiter=1000)[0] for a, y in zip(designs, wanted, strict=True)
    ]
    systems = torch.from_numpy(designs.transpose(0, 2, 1) @ designs)
    rights = torch.from_numpy((designs.transpose(0, 2, 1) @ wanted[:, :, None])[:, :, 0])
    for begin in (None, torch.ones(15, n, dtype=torch.bool), torch.zeros(15, n, dtype=torch.bool)):
        found = nonnegative(systems, rights, begin)
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_one_system_may_serve_all_rights_and_a_problem_depends_on_itself() -> None:
    rng = np.random.default_rng(0)
    design = rng.random((9, 7))
    system, rights = torch.from_numpy(design.T @ design), torch.from_numpy(rng.normal(size=(20, 7)))
    found = nonnegative(system, rights)
    for row in range(20):
        alone = nonnegative(system[None], rights[row : row + 1])
        np.testing.assert_allclose(found[row], alone[0], atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_gives_no_numbers() -> None:
    assert nonnegative(-torch.eye(2).double(), torch.ones(1, 2).double()).isnan().all()
