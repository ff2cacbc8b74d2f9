"""Weights of extreme size: a result in numbers, or an error of ours, never one of numpy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import recae

MODELS = (recae.EASE, recae.EDLAE, recae.RLAE, recae.RDLAE, recae.InfiniteAE, recae.SparseEASE)


def data(scale: float) -> recae.Interactions:
    """12 users x 6 items; one play counts `scale`."""
    dense = (np.add.outer(np.arange(12), 2 * np.arange(6)) % 5 < 2).astype(float)
    dense[0, 0] = scale
    return recae.Interactions.from_csr(sp.csr_matrix(dense))


@pytest.mark.parametrize("scale", [1e20, 3e38, 1e-30])
@pytest.mark.parametrize("model", MODELS)
def test_one_extreme_weight_gives_numbers_or_an_error_of_ours(model, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)
        try:
            scores = model(weights="both").fit(data(scale)).score(sp.csr_matrix(np.eye(6)))
        except recae.RecaeError:
            return
    assert np.isfinite(np.asarray(scores)).all()


def test_squares_are_taken_in_float64():
    """X'X + l2 I of a heavy item: its row of P is that of a matrix of 1e40 beside ones."""
    given = data(1e20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)
        weights = recae.EASE(weights="both", l2=2.0).fit(given).weights_.numpy()
    dense = given.matrix.toarray().astype(np.float64)
    rest = dense[:, 1:]  # item 0 is so heavy that it explains nothing of the others
    rest = rest - np.outer(dense[:, 0], dense[:, 0] @ rest / (dense[:, 0] @ dense[:, 0]))
    inverse = np.linalg.inv(rest.T @ rest + 2 * np.eye(5))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    assert np.allclose(weights[1:, 1:], expected, atol=1e-5)
