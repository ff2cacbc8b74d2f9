"""scikit-learn takes recommenders and detectors for estimators of its own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import sklearn.utils
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import NotFittedError as TheirNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import recae
from recae.apply.anomaly import AnomalyDetector
from recae.errors import NotFittedError

M = sp.random(60, 12, 0.4, "csr", random_state=0, dtype=np.float32)
M.data[:] = 1
OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 6)
needs_tags = pytest.mark.skipif(OLD, reason="scikit-learn 1.6 made `__sklearn_tags__`")


@pytest.mark.parametrize("name", list(recae.MODELS))
def test_a_recommender_is_fitted_or_not(name) -> None:
    model = recae.MODELS[name](**recae.MODELS[name].small)
    with pytest.raises(TheirNotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError) as error:
        model.recommend()
    assert isinstance(error.value, TheirNotFittedError)
    model.fitted_params_ = {}  # the mark of a fit, which tests/models does for every model
    check_is_fitted(model)
    if not OLD:
        tags = sklearn.utils.get_tags(model)
        assert tags.estimator_type is None and tags.input_tags.sparse
        assert not tags.target_tags.required and tags.transformer_tags is None


def hits(model: recae.Recommender, matrix: sp.csr_matrix) -> float:
    """The share of users whose last item is among the best three, given the others."""
    last = matrix.indptr[1:] - 1
    rest = matrix.copy()
    rest.data[last] = 0
    rest.eliminate_zeros()
    top = model.recommend_array(rest, 3, on_unknown="popular")
    return float(np.mean((top.items == matrix.indices[last][:, None]).any(axis=1)))


@needs_tags
def test_a_grid_search_over_a_recommender_with_a_scorer_of_ones_own() -> None:
    matrix = M[np.diff(M.indptr) > 0]
    grid = {"l2": [0.1, 10.0, 1000.0]}
    search = GridSearchCV(recae.EASE(), grid, scoring=hits, cv=3).fit(matrix)
    check_is_fitted(search)
    # The slow and obvious search: fit on two thirds of the users, count hits on the others.
    folds = np.array_split(np.arange(matrix.shape[0]), 3)
    for place, l2 in enumerate(grid["l2"]):
        values = [
            hits(
                recae.EASE(l2=l2).fit(matrix[np.setdiff1d(np.concatenate(folds), fold)]),
                matrix[fold],
            )
            for fold in folds
        ]
        assert search.cv_results_["mean_test_score"][place] == pytest.approx(np.mean(values))
    best = grid["l2"][int(np.argmax(search.cv_results_["mean_test_score"]))]
    assert search.best_estimator_.l2 == best
    np.testing.assert_array_equal(
        search.best_estimator_.score(matrix), recae.EASE(l2=best).fit(matrix).score(matrix)
    )
    assert len(cross_val_score(recae.PureSVD(latent=3), matrix, scoring=hits, cv=4)) == 4


@needs_tags
def test_a_detector_ends_a_pipeline() -> None:
    X = np.random.default_rng(0).normal(3, 2, (80, 5))
    detector = AnomalyDetector(recae.Autoencoder(latent=2, epochs=2), 0.1)
    with pytest.raises(TheirNotFittedError):
        check_is_fitted(detector)
    with pytest.raises(TheirNotFittedError):
        detector.predict(X)
    assert is_outlier_detector(detector)
    line = make_pipeline(StandardScaler(), detector).fit(X)
    alone = clone(detector).fit(StandardScaler().fit_transform(X))
    scaled = StandardScaler().fit_transform(X)
    for method in ("predict", "decision_function", "score_samples"):
        found = getattr(line, method)(X)
        np.testing.assert_array_equal(found, getattr(alone, method)(scaled))
    assert set(line.predict(X)) <= {-1, 1} and (line.predict(X + 99) == -1).all()
    np.testing.assert_array_equal(clone(line).fit_predict(X), line.predict(X))
    check_is_fitted(line)
