"""scikit-learn takes a transformer for one of its own."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils._testing import assert_allclose_dense_sparse

import recae

from .conftest import KINDS, small

OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 6)
"""Before scikit-learn read the tags from `__sklearn_tags__`."""

EXPECTED = {
    "check_dtype_object": "what is not a number is a DataError, a ValueError; wanted is TypeError"
}
if OLD:
    EXPECTED["check_transformer_preserve_dtypes"] = (
        "codes are float32; our tag is for 1.6 and later"
    )


def checks() -> list[Any]:
    """(estimator, check) of scikit-learn for the four kinds, with their default settings."""
    found = []
    for kind in (
        recae.Autoencoder(),
        recae.DenoisingAutoencoder(),
        recae.SparseAutoencoder(),
        recae.VariationalAutoencoder(),
    ):
        kind.set_params(epochs=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it does not inherit from BaseEstimator
            if OLD:
                pairs = list(estimator_checks.check_estimator(kind, generate_only=True))
            else:
                pairs = list(estimator_checks.estimator_checks_generator(kind))
        for estimator, check in pairs:
            name = f"{type(kind).__name__}-{check.func.__name__}-{len(found)}"
            found.append(pytest.param(estimator, check, id=name))
    return found


def within_rounding(x: Any, y: Any, **options: Any) -> None:
    """In place of scikit-learn's own, which wants float32 results to agree within 1e-7."""
    assert_allclose_dense_sparse(x, y, **(options | {"rtol": 1e-5, "atol": 1e-6}))


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit")
@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learns_own_checks_pass(
    estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check.func.__name__.startswith("check_methods_"):  # of batches
        monkeypatch.setattr(estimator_checks, "assert_allclose_dense_sparse", within_rounding)
    reason = EXPECTED.get(check.func.__name__)
    if reason is None:
        check(estimator)
        return
    with pytest.raises((AssertionError, recae.DataError)):
        check(estimator)
    pytest.xfail(reason)


def test_the_default_settings_were_checked() -> None:
    names = {param.values[0].__class__.__name__ for param in checks()}
    assert len(names) == 4
    assert len(checks()) > 4 * 30


@pytest.fixture(scope="module")
def frame(X: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(X, columns=list("abcdefghi"), index=np.arange(100, 170))


def test_a_pipeline_fits_and_decodes(kind: str, X: np.ndarray) -> None:
    pipeline = make_pipeline(StandardScaler(), small(kind))
    codes = pipeline.fit_transform(X)
    assert np.array_equal(pipeline.transform(X), codes)
    back = pipeline.inverse_transform(codes)
    assert back.shape == X.shape
    assert np.isfinite(pipeline.score(X))


def test_codes_go_on_to_a_classifier(X: np.ndarray) -> None:
    y = X[:, 0] > np.median(X[:, 0])
    steps = [
        ("codes", small("linear", epochs=30, lr=0.01)),
        ("classifier", LogisticRegression(solver="liblinear")),
    ]
    assert Pipeline(steps).fit(X, y).score(X, y) > 0.8


def test_a_clone_has_the_settings_and_nothing_else(kind: str, X: np.ndarray) -> None:
    model = small(kind).fit(X)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert type(copy) is type(model)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        copy.transform(X)
    with pytest.raises(recae.errors.NotFittedError, match="not fitted: .*fit") as caught:
        copy.transform(X)
    again = pickle.loads(pickle.dumps(caught.value))  # as from a process of joblib
    assert type(again) is recae.errors.NotFittedError and str(again) == str(caught.value)


def test_a_search_finds_the_width_that_the_data_have(X: np.ndarray) -> None:
    model = recae.Autoencoder(hidden=(), epochs=60, lr=0.01, batch_size=16)
    search = GridSearchCV(model, {"latent": [1, 3]}, cv=2).fit(X)
    assert search.best_params_ == {"latent": 3}  # X lies near a plane of three dimensions
    assert search.best_estimator_.transform(X).shape == (70, 3)


def test_frames_come_out_where_they_are_asked_for(frame: pd.DataFrame) -> None:
    model = small("top-k").set_output(transform="pandas")
    codes = model.fit_transform(frame)
    names = [f"sparseautoencoder{unit}" for unit in range(12)]
    assert codes.columns.tolist() == names == model.get_feature_names_out().tolist()
    assert codes.index.equals(frame.index)
    assert clone(model).fit_transform(frame).equals(codes)
    polars = model.set_output(transform="polars").transform(frame)
    assert isinstance(polars, pl.DataFrame) and polars.columns == names
    plain = model.set_output(transform="default").transform(frame)
    assert np.array_equal(plain, codes.to_numpy()) and np.array_equal(plain, polars.to_numpy())
    assert np.array_equal(model.set_output(transform=None).transform(frame), plain)
    with pytest.raises(recae.ConfigError, match="Known: default, pandas, polars"):
        model.set_output(transform="arrow")


def test_scikit_learns_configuration_counts(frame: pd.DataFrame) -> None:
    model = small("linear").fit(frame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(model.transform(frame), pd.DataFrame)
        assert isinstance(make_pipeline(model).transform(frame), pd.DataFrame)
        model.set_output(transform="default")
        assert isinstance(model.transform(frame), np.ndarray)
    both = ColumnTransformer([("codes", small("linear"), ["a", "b", "c"])]).set_output(
        transform="pandas"
    )
    assert both.fit_transform(frame).columns.tolist()[0] == "codes__autoencoder0"


def test_columns_keep_their_names_and_order(frame: pd.DataFrame, X: np.ndarray) -> None:
    model = small("autoencoder").fit(frame)
    assert model.feature_names_in_.tolist() == list("abcdefghi")
    for wrong, words in (
        (frame[list("bacdefghi")], "same order"),
        (frame.rename(columns={"c": "x"}), "unseen .*\n- x\n(.|\n)*missing:\n- c"),
    ):
        with pytest.raises(recae.DataError, match=words):
            model.transform(wrong)
        with pytest.raises(recae.DataError, match=words):
            small("autoencoder").fit(frame, validation=wrong)
    assert np.array_equal(model.transform(pl.from_pandas(frame)), model.transform(frame))
    assert np.array_equal(model.transform(X), model.transform(frame))  # no names, no quarrel
    assert not hasattr(model.fit(X), "feature_names_in_")


@pytest.mark.parametrize("kind", KINDS)
def test_tags_say_what_is_taken(kind: str) -> None:
    if OLD:
        pytest.skip("scikit-learn before 1.6 asks for tags in another way")
    tags = small(kind).__sklearn_tags__()
    assert tags.input_tags.sparse == (small(kind).loss != "gaussian")
    assert tags.transformer_tags.preserves_dtype == []
