"""Sparse matrices of every format and type: numbers are cast before they are added up."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import DataError, Interactions
from recae.data import csr

FORMATS = ("coo", "csr", "csc", "bsr")  # those that can hold a cell twice
SMALL = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int64, np.uint64)


def repeated(dtype: type, times: int, form: str = "coo") -> sp.spmatrix:
    """A 2 x 3 matrix of ones of this type in cells (0, 0), `times` times, and (1, 2), once."""
    rows = np.append(np.zeros(times, dtype=np.int64), 1)
    columns = np.append(np.zeros(times, dtype=np.int64), 2)
    ones = np.ones(times + 1, dtype=dtype)
    if form == "coo":
        return sp.coo_matrix((ones, (rows, columns)), shape=(2, 3))
    if form == "bsr":
        blocks = ones.reshape(-1, 1, 1)
        return sp.bsr_matrix((blocks, columns, [0, times, times + 1]), shape=(2, 3))
    if form == "csr":
        return sp.csr_matrix((ones, columns, [0, times, times + 1]), shape=(2, 3))
    return sp.csc_matrix((ones, rows, [0, times, times, times + 1]), shape=(2, 3))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", SMALL)
def test_counts_of_small_types_are_not_lost(dtype, form):
    for times in (2, 200, 256, 300):
        given = repeated(dtype, times, form)
        data = Interactions.from_csr(given)
        assert data.matrix.toarray().tolist() == [[times, 0, 0], [0, 0, 1]]
        assert given.dtype == dtype and given.data.size == times + 1  # the caller's stays


def test_counts_beyond_float32_are_added_in_float64():
    data = np.array([2**24, *[1] * 16], dtype=np.float32)
    for form in ("coo", "csr"):
        given = sp.csr_matrix((data, np.zeros(17, int), [0, 17]), shape=(1, 1)).asformat(form)
        assert Interactions.from_csr(given).matrix.data.tolist() == [2**24 + 16]


def test_every_matrix_that_is_read_is_added_up_first():
    plays, once = repeated(np.uint8, 256), repeated(np.float32, 1)
    warnings.simplefilter("ignore", recae.RecaeWarning)  # 256 plays outweigh one
    expected = sp.csr_matrix([[256.0, 0, 0], [0, 0, 1]])
    model = recae.Popularity(weights="target").fit(plays)
    assert (
        model.item_counts_.tolist()
        == recae.Popularity(weights="target").fit(expected).item_counts_.tolist()
    )
    assert recae.ItemKNN().fit(plays).recommend(history=plays, k=1).empty
    assert recae.EASE().fit(once).recommend_array(history=plays, k=3).items[0, 0] != 0  # seen
    linear = recae.Autoencoder(latent=1, hidden=(), epochs=1).fit(expected)
    assert np.array_equal(linear.transform(plays), linear.transform(expected))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_weights_are_refused(dtype):
    given = sp.csr_matrix(np.eye(2, dtype=dtype))
    for matrix in (given, given.tocoo()):
        with pytest.raises(DataError, match=r"complex\d+"):
            Interactions.from_csr(matrix)
        with pytest.raises(DataError, match=r"complex\d+"):
            recae.EASE().fit(recae.Interactions.from_csr(sp.identity(2))).recommend(history=matrix)


def test_a_weight_beyond_float32_is_named():
    huge = sp.csr_matrix(np.array([[1.0, 1e300]]))
    with pytest.raises(DataError, match=r"float32.* 1e\+300"):
        Interactions.from_csr(huge)


def test_added_up_keeps_the_callers_matrix():
    given = repeated(np.int8, 200, "csr")
    before = given.indices.copy()
    assert csr.added_up(given).toarray().tolist() == [[200, 0, 0], [0, 0, 1]]
    assert np.array_equal(given.indices, before) and given.nnz == 201
