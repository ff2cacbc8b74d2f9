"""What a transformer reads, in whatever form it comes, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.transformers.examples import read_examples
from recae.transformers.scaling import Scaling

from .conftest import small


@pytest.fixture(scope="module")
def model(X: np.ndarray) -> Any:
    return small("autoencoder").fit(X, seed=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X.tolist(),
        lambda X: np.asfortranarray(X),
        lambda X: np.concatenate([X, X])[: len(X)],
        lambda X: torch.from_numpy(X),
        lambda X: torch.from_numpy(X).requires_grad_(),
        lambda X: pd.DataFrame(X),
        lambda X: pl.DataFrame(X),
        lambda X: X.astype(object),
        lambda X: np.ma.masked_array(X),
        lambda X: X.astype(">f8"),
        lambda X: X[::-1][::-1],
    ],
    ids="list fortran part tensor grad pandas polars object masked big-endian strided".split(),
)
def test_one_table_in_many_forms(make: Any, model: Any, X: np.ndarray) -> None:
    given = make(X)
    assert np.array_equal(model.transform(given), model.transform(X))
    assert np.array_equal(small("autoencoder").fit(given, seed=1).transform(X), model.transform(X))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, np.bool_])
def test_numbers_of_every_kind_are_their_values(dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 100, size=(30, 6))
    given, plain = values.astype(dtype), values.astype(np.float64)
    model = small("linear").fit(given)
    assert np.array_equal(model.transform(given), small("linear").fit(plain).transform(plain))
    assert model.transform(given).dtype == np.float32
    bits = torch.from_numpy(plain).to(torch.bfloat16)
    assert np.array_equal(model.transform(bits), model.transform(plain))


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_images_stay_whole_numbers_until_they_are_scaled(loss: str) -> None:
    images = np.random.default_rng(0).integers(0, 2, size=(9, 4, 4)).astype(np.uint8)
    examples = read_examples(images, "Autoencoder")
    assert np.shares_memory(examples.rows.numpy(), images)
    scaled = Scaling.of(examples, loss).apply(examples).rows
    other = read_examples(images.astype(np.float64), "Autoencoder")
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, Scaling.of(other, loss).apply(other).rows)


@pytest.mark.parametrize("kind", ["autoencoder", "variational"])
def test_channels_that_come_last_are_told_of(kind: str) -> None:
    images = np.random.default_rng(0).random((12, 8, 8, 3))
    with pytest.warns(recae.RecaeWarning, match=r"8 channels of 8 x 3 .*moveaxis"):
        small(kind, channels=(2,)).fit(images)
    small(kind, channels=(2,)).fit(np.moveaxis(images, -1, 1))
    small(kind, channels=(2,)).fit(np.random.default_rng(0).random((12, 3, 3, 3)))
    small(kind).fit(images)  # an MLP doesn't mind


@pytest.mark.parametrize("column", [6, -1])
def test_a_matrix_with_entries_beside_itself_is_refused(column: int, counts: Any) -> None:
    bad = sp.csr_matrix(([1.0, 1.0], [0, 1], [0, 1, 2]), shape=(2, 6))
    bad.indices[1] = column
    with pytest.raises(recae.DataError, match="6 columns"):
        small("autoencoder").fit(bad)


def test_a_loss_for_dense_examples_names_those_for_sparse_ones(counts: Any) -> None:
    with pytest.raises(recae.ConfigError, match="multinomial.* or 'logistic'"):
        small("variational").fit(counts)


def test_a_readonly_array_is_read_and_never_written(X: np.ndarray) -> None:
    given = X.copy()
    given.flags.writeable = False
    assert np.isfinite(small("autoencoder").fit(given).transform(given)).all()


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array])
def test_sparse_forms_are_one(form: Any, counts: Any) -> None:
    model = small("top-k", loss="multinomial").fit(counts)
    given = form(counts)
    assert np.array_equal(model.transform(given), model.transform(counts))
    other = small("top-k", loss="multinomial").fit(given)
    assert np.array_equal(other.transform(counts), model.transform(counts))


def test_stored_zeros_and_repeated_cells_are_what_they_stand_for() -> None:
    cells = ([1.0, 2.0, 0.0, 3.0], ([0, 0, 1, 1], [1, 1, 0, 2]))
    odd = sp.coo_matrix(cells, shape=(2, 3))
    matrix = sp.csr_matrix(([1.0, 2.0, 0.0, 3.0], [1, 1, 0, 2], [0, 2, 4]), shape=(2, 3))
    plain = sp.csr_matrix(np.array([[0, 3, 0], [0, 0, 3.0]]))
    model = small("linear", loss="multinomial").fit(plain)
    for given in (odd, matrix):
        assert np.array_equal(model.transform(given), model.transform(plain))
        assert np.array_equal(
            small("linear", loss="multinomial").fit(given).transform(plain), model.transform(plain)
        )
    assert matrix.nnz == 4  # the one given stays as it was


@pytest.mark.parametrize("loss", ["logistic", "multinomial"])
@pytest.mark.parametrize("kind", ["autoencoder", "top-k", "jump-relu", "kl", "vamp", "denoising"])
def test_sparse_or_dense_is_the_same_up_to_rounding(kind: str, loss: str, counts: Any) -> None:
    given = (counts > 0).astype(np.float32) if loss == "logistic" else counts
    given = given[np.diff(given.indptr) > 0]  # of a sparse matrix, training leaves empty rows out
    changes = {"loss": loss, "epochs": 2} | ({"amount": 0.0} if kind == "denoising" else {})
    sparse, dense = (small(kind, **changes).fit(x, seed=2) for x in (given, given.toarray()))
    for method in ("transform", "reconstruct", "score_samples", "reconstruction_error"):
        first = getattr(sparse, method)(given)
        assert np.allclose(first, getattr(dense, method)(given.toarray()), 1e-3, 1e-4), method
        assert np.allclose(first, getattr(sparse, method)(given.toarray()), 1e-4, 1e-5), method


def test_sparse_squares_have_the_scale_but_not_the_centre(counts: Any) -> None:
    codes = small("linear", loss="squared").fit(counts).transform(counts)
    times = small("linear", loss="squared").fit(counts * 1000).transform(counts * 1000)
    assert np.allclose(codes, times, rtol=1e-4, atol=1e-5)
    dense = small("linear", loss="squared").fit(counts.toarray())
    with pytest.raises(recae.DataError, match="X.toarray()"):
        dense.transform(counts)


@pytest.mark.parametrize("loss", ["squared", "logistic", "multinomial"])
def test_empty_rows_of_a_sparse_matrix_have_codes_and_scores(loss: str, counts: Any) -> None:
    given = (counts > 0).astype(float)
    model = small("autoencoder", loss=loss).fit(given)
    for method in ("transform", "reconstruct", "score_samples", "reconstruction_error"):
        found = getattr(model, method)(given)
        assert len(found) == 40 and np.isfinite(found).all(), method
    assert np.isfinite(model.explained_variance(given))
    nothing = sp.csr_matrix((3, 9), dtype=np.float32)
    assert np.allclose(
        model.transform(nothing), np.tile(model.transform(given)[4], (3, 1)), 1e-5, 1e-6
    )


@pytest.mark.filterwarnings("ignore:the training of .* has diverged")  # one draw for one example
def test_one_example_and_columns_that_never_change(kind: str, X: np.ndarray) -> None:
    single = small(kind).fit(X[:1])
    assert np.isfinite(single.score_samples(X)).all()
    constant = X.copy()
    constant[:, 2] = 0.1
    assert np.isfinite(small(kind).fit(constant).reconstruct(X)).all()
    same = small(kind).fit(np.full((10, 4), 0.1))
    assert np.isfinite(same.transform(np.full((3, 4), 0.3))).all()
    assert same.scaling_.scale == 1.0
    with pytest.raises(recae.DataError, match="constant"):
        same.explained_variance(np.full((10, 4), 0.1))


def test_interactions_are_a_sparse_matrix(text_data: Any) -> None:
    model = small("top-k", loss="multinomial").fit(text_data)
    assert np.array_equal(model.transform(text_data), model.transform(text_data.matrix))


ok = np.arange(12.0).reshape(4, 3)


def broken(value: float) -> np.ndarray:
    given = ok.copy()
    given[2, 1] = value
    return given


def frame(column: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": column, "b": [1.5, 2, 3]})


BAD = {
    "no rows": (np.zeros((0, 3)), r"0 sample\(s\)"),
    "no columns": (np.zeros((3, 0)), r"0 feature\(s\)"),
    "one dimension": (np.arange(3.0), r"shape \(3,\)\. Reshape"),
    "a number": (3.0, r"columns, .*\(1,\)"),
    "nothing": (None, r"columns, .*\(1,\)"),
    "NaN": (broken(np.nan), "NaN .*row 2"),
    "inf": (broken(-np.inf), "infinity .*row 2"),
    "too large": (broken(1e300), "infinity .*row 2 .*float32 .*1 places"),
    "texts": (np.array([["a", "b"]]), "numbers, not <U1"),
    "texts that look like numbers": (np.array([["1", "2"]]), "numbers, not <U1"),
    "objects": (np.array([[1, 2], [{}, 1]], dtype=object), "numbers: row 1 .*dict"),
    "complex": (ok * 1j, "Complex data"),
    "times": (np.array([["2020-01-01"]], dtype="datetime64[D]"), "numbers, not datetime"),
    "ragged": ([[1, 2], [3]], "numbers: .*inhomogeneous"),
    "masked": (np.ma.masked_equal(ok, 5.0), "NaN .*row 1"),
    "missing in a frame": (pd.DataFrame({"a": [1, None], "b": [2, 3]}), "NaN .*row 1"),
    "texts in a frame": (frame(["3", "x", "y"]), "numbers: row 1, column 'a' .*'x' .*2 such"),
    "categories": (frame(pd.Categorical(["x", "y", "x"])), "row 0, column 'a' .*'x' .*3 such"),
    "dates": (frame(pd.to_datetime(["2020-01-01"] * 3)), "row 0, column 'a' .*2020"),
    "NA of integers": (frame(pd.array([1, None, 3], dtype="Int64")), "NA.* row 1, column 'a' .*1 "),
    "NA of flags": (
        frame(pd.array([True, False, None], dtype="boolean")),
        "NA.* row 2, column 'a'",
    ),
    "NA of Arrow": (frame(pd.array([1, 2, None], dtype="double[pyarrow]")), "row 2, column 'a'"),
    "NaN of decimals": (frame([Decimal(1), Decimal("NaN"), Decimal(2)]), "NaN .*row 1, column 'a'"),
    "complex in a frame": (
        frame(pd.Series([1, 2, 1j], dtype=object)),
        "row 2, column 'a' .*complex",
    ),
    "null of polars": (pl.DataFrame({"a": [1, None], "b": [1, 2]}), "NaN .*row 1, column 'a'"),
    "null of Arrow": (pa.table({"a": [1, 2], "b": [None, 2]}), "NaN .*row 0, column 'b'"),
    "lazy": (pl.LazyFrame({"a": [1, 2]}), r"LazyFrame.*collect\(\)"),
    "integers beyond floats": ([[1, 2], [3, 10**400]], "numbers: row 1 .*int"),
    "long doubles": (np.array([["1e400", "1"]], dtype=np.longdouble), "infinity .*row 0"),
    "meta tensor": (torch.ones(3, 2, device="meta"), "meta tensor"),
    "sparse NaN": (sp.csr_matrix(broken(np.nan)), "NaN .*row 2"),
    "sparse too large": (sp.csr_matrix(broken(1e300)), "infinity .*row 2"),
    "sparse complex": (sp.csr_matrix(ok * 1j), "Complex data"),
    "sparse without rows": (sp.csr_matrix((0, 3)), r"0 sample\(s\)"),
    "sparse tensor": (torch.eye(3).to_sparse(), "sparse tensor: .*scipy"),
    "complex tensor": (torch.eye(3) * 1j, "Complex data"),
    "sparse zeros": (sp.csr_matrix((4, 3)), "no entry .*0"),
    "stored zeros": (sp.csr_matrix(([0.0], [0], [0, 1]), shape=(1, 3)), "no entry .*0"),
}


@pytest.mark.parametrize("kind", ["autoencoder", "top-k", "denoising", "variational"])
@pytest.mark.parametrize("what", BAD)
def test_what_is_no_table_of_numbers_is_refused(what: str, kind: str) -> None:
    given, words = BAD[what]
    model = small(kind)
    if sp.issparse(given) and model.loss == "gaussian":
        words += "|'gaussian' .*dense examples"
    with pytest.raises((recae.DataError, recae.ConfigError), match=words):
        model.fit(given)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize("what", [w for w in BAD if "zeros" not in w])
def test_and_so_it_is_after_fit(what: str) -> None:
    model = small("linear").fit(ok)
    given, words = BAD[what]
    for method in ("transform", "reconstruct", "score_samples", "score", "explained_variance"):
        with pytest.raises(recae.DataError, match=words):
            getattr(model, method)(given)


@pytest.mark.parametrize(
    ("loss", "given", "words"),
    [
        ("logistic", ok - 1, "Negative values .*-1"),
        ("logistic", ok, "11; loss='logistic'"),
        ("multinomial", ok - 1, "Negative values .*loss='multinomial'"),
        ("multinomial", ok * 0, "no entry .*0"),
        ("multinomial", sp.csr_matrix(ok - 1), "Negative values"),
    ],
)
def test_examples_must_suit_the_loss(loss: str, given: Any, words: str) -> None:
    with pytest.raises(recae.DataError, match=words):
        small("top-k", latent=4, loss=loss).fit(given)
    suited = small("linear", loss=loss).fit(ok / 11)
    with pytest.raises(recae.DataError, match="Negative"):
        suited.score_samples(ok - 1)


def test_the_shape_is_that_of_fit(model: Any, X: np.ndarray) -> None:
    for method in ("transform", "reconstruct", "score_samples", "reconstruction_error"):
        with pytest.raises(recae.DataError, match="8 features, .*9"):
            getattr(model, method)(X[:, :8])
        with pytest.raises(recae.DataError, match=r"shape \(3, 3\); .*\(9,\)"):
            getattr(model, method)(X.reshape(-1, 3, 3))
    for codes in (np.zeros((2, 4)), np.zeros(3), np.zeros((0, 3)), np.zeros((1, 3, 1))):
        with pytest.raises(recae.DataError, match=r"shape \(rows, 3\)"):
            model.inverse_transform(codes)
    with pytest.raises(recae.DataError, match="codes .*NaN .*row 1"):
        model.inverse_transform([[0, 0, 0], [0, np.nan, 0]])
    with pytest.raises(recae.DataError, match=r"dense .*\(8,\); X .*\(9,\)"):
        small("autoencoder").fit(X, validation=X[:, :8])
    with pytest.raises(recae.DataError, match="validation .*sparse"):
        small("autoencoder").fit(X, validation=sp.csr_matrix(X))
    with pytest.raises(recae.DataError, match="set channels="):
        small("autoencoder", channels=(2,)).fit(X)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": None}, "seed"),
        ({"seed": -1}, "seed"),
        ({"device": "abacus"}, "abacus"),
        ({"callbacks": 3}, "callback"),
        ({"progress": "yes"}, "progress"),
    ],
)
def test_a_wrong_option_is_refused_before_training(
    options: dict[str, Any], words: str, X: np.ndarray
) -> None:
    with pytest.raises(recae.ConfigError, match=words):
        small("autoencoder").fit(X, **options)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("autoencoder", {"latent": 0}, "latent .*Autoencoder"),
        ("autoencoder", {"hidden": 3}, "hidden .*Autoencoder .*tuple"),
        ("autoencoder", {"loss": "squard"}, "mean 'squared'"),
        ("top-k", {"active": 13}, "active=13 .*latent=12"),
        ("denoising", {"amount": 1.0}, "amount=1.0 .*below 1"),
        ("variational", {"binarise": True}, "binarise=True .*loss='logistic', not"),
        ("variational", {"hidden": ()}, "hidden .*width"),
        ("vamp", {"free_bits": 0.1}, "free_bits=0.1 .*prior='standard'"),
        ("variational", {"loss": "squared"}, "Known: gaussian, logistic, multinomial"),
    ],
)
def test_a_wrong_setting_is_refused(
    kind: str, settings: dict[str, Any], words: str, X: np.ndarray
) -> None:
    with pytest.raises(recae.ConfigError, match=words):
        small(kind, **settings).fit(X)


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "score", "sample", "interpolate", "save"]
)
def test_nothing_is_asked_of_what_is_not_fitted(method: str) -> None:
    arguments = [1, 2] if method == "interpolate" else [1]
    with pytest.raises(recae.errors.NotFittedError, match="not fitted: .*fit"):
        getattr(small("variational"), method)(*arguments)
