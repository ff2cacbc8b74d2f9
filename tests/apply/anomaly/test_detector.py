"""AnomalyDetector: the threshold keeps its promise exactly, whatever the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.ensemble import IsolationForest

import recae
from recae.errors import ConfigError, DataError, NotFittedError


class First:
    """A model that learns nothing and scores an example by its first number."""

    def fit(self, X: Any, y: Any = None, *, seed: int = 0) -> First:
        self.fitted_on = len(X) if not sp.issparse(X) else X.shape[0]
        return self

    def score_samples(self, X: Any) -> Any:
        return X[:, 0]


def test_the_rate_is_exact_by_counting() -> None:
    """Of 100 examples 1..100 in every role: with n = 19 held out at 10 %, the new one is flagged
    where it is among the lowest 2 of 20. Over all draws of 20 that is P = 2 / 20."""
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(4000):
        values = rng.permutation(100)[:20].astype(float)[:, None]
        detector = recae.apply.anomaly.AnomalyDetector(First(), 0.1, refit=False).fit(values[:19])
        expected = (values[:19] <= values[19]).sum() + 1 <= 2
        assert (detector.predict(values[19:]) == -1).item() == expected
        flagged += int(expected)
    assert flagged / 4000 == pytest.approx(0.1, abs=0.015)  # 3 standard errors


def test_ties_are_on_the_safe_side() -> None:
    same = np.ones((50, 1))
    detector = recae.apply.anomaly.AnomalyDetector(First(), 0.1, refit=False).fit(same)
    assert (detector.predict(same) == 1).all()
    assert detector.p_values(same).tolist() == [1.0] * 50


def test_p_values_are_written_out() -> None:
    detector = recae.apply.anomaly.AnomalyDetector(First(), 0.5, refit=False).fit(
        np.array([[1.0], [2], [3]])
    )
    asked = np.array([[0.0], [1], [2.5], [3], [9]])
    assert detector.p_values(asked).tolist() == [1 / 4, 2 / 4, 3 / 4, 1, 1]
    assert detector.predict(asked).tolist() == [-1, -1, 1, 1, 1]
    assert (detector.decision_function(asked) < 0).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.9])
def test_predictions_are_p_values_at_most_the_rate(rate: float) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 3))
    detector = recae.apply.anomaly.AnomalyDetector(First(), rate).fit(X)
    new = rng.normal(size=(1000, 3))
    p = detector.p_values(new)
    assert ((detector.predict(new) == -1) == (p <= rate)).all()
    assert ((detector.decision_function(new) < 0) == (p <= rate)).all()


def test_the_model_never_sees_the_held_out_and_the_given_one_stays_as_it_was() -> None:
    model = First()
    detector = recae.apply.anomaly.AnomalyDetector(model, 0.1, held_out=0.25).fit(np.ones((100, 2)))
    assert detector.model_.fitted_on == 75
    assert detector.calibration_.shape == (25,)
    assert not hasattr(model, "fitted_on")


@pytest.mark.parametrize("kind", ["array", "csr", "tensor", "frame"])
def test_our_transformers_on_all_kinds_of_examples(kind: str) -> None:
    rng = np.random.default_rng(2)
    basis = rng.normal(size=(2, 8))
    normal = (rng.normal(size=(400, 2)) @ basis).astype(np.float32)
    odd = rng.normal(scale=6, size=(20, 8)).astype(np.float32)
    make: Any = {
        "array": np.asarray,
        "csr": sp.csr_matrix,
        "tensor": torch.from_numpy,
        "frame": lambda X: pd.DataFrame(X, columns=[f"c{column}" for column in range(8)]),
    }[kind]
    model = recae.Autoencoder(latent=2, hidden=(), epochs=60, lr=0.02)
    detector = recae.apply.anomaly.AnomalyDetector(model, 0.02).fit(
        make(normal), seed=3, progress=False
    )
    assert (detector.predict(make(odd)) == -1).mean() > 0.9
    again = recae.apply.anomaly.AnomalyDetector(model, 0.02).fit(
        make(normal), seed=3, progress=False
    )
    assert (again.p_values(make(odd)) == detector.p_values(make(odd))).all()


def test_models_and_manners_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    detector = clone(
        recae.apply.anomaly.AnomalyDetector(IsolationForest(random_state=0), 0.02)
    ).fit(X)
    assert (detector.predict(rng.normal(8, 1, size=(10, 3))) == -1).all()
    detector.set_params(false_alarm_rate=0.1, model__n_estimators=7)
    assert detector.get_params()["model__n_estimators"] == 7
    assert detector.get_params(deep=False)["false_alarm_rate"] == 0.1


class Converts(First):
    """Its constructor converts its argument, which scikit-learn's clone refuses."""

    def __init__(self, widths: Any = (1,)) -> None:
        self.widths = list(widths)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"widths": self.widths}


class Clones(Converts):
    def clone(self) -> Clones:
        return Clones([*self.widths, 7])


def test_models_that_convert_their_settings_or_clone_themselves() -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    for model, widths in ((Converts((3,)), [3]), (Clones((3,)), [3, 7])):
        detector = recae.apply.anomaly.AnomalyDetector(model, 0.1).fit(X)
        assert detector.model_ is not model
        assert detector.model_.widths == widths


class Broken(First):
    def __init__(self, scores: Any) -> None:
        self.scores = scores

    def score_samples(self, X: Any) -> Any:
        return self.scores(X)


@pytest.mark.parametrize(
    ("detector", "error", "says"),
    [
        (recae.apply.anomaly.AnomalyDetector(First(), 0.01, held_out=0.3), DataError, "needs 99"),
        (recae.apply.anomaly.AnomalyDetector(First(), 1.5), ConfigError, "false_alarm_rate"),
        (recae.apply.anomaly.AnomalyDetector(First(), 0.1, held_out=1), ConfigError, "held_out"),
        (recae.apply.anomaly.AnomalyDetector(First(), 0.1, refit="no"), ConfigError, "refit"),  # type: ignore[arg-type]
        (
            recae.apply.anomaly.AnomalyDetector(object(), 0.1),
            ConfigError,
            "object .*score_samples",
        ),
        (
            recae.apply.anomaly.AnomalyDetector(Broken(lambda X: X), 0.1),
            DataError,
            r"score_samples .*Broken .*, 2\) .*one number",
        ),
        (
            recae.apply.anomaly.AnomalyDetector(Broken(lambda X: np.full(len(X), np.nan)), 0.1),
            DataError,
            "NaN .*example 0",
        ),
    ],
)
def test_bad_input_is_named(
    detector: recae.apply.anomaly.AnomalyDetector, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        detector.fit(np.ones((100, 2)))
    with pytest.raises(NotFittedError):
        detector.predict(np.ones((1, 2)))


@pytest.mark.parametrize("X", [None, 5, "abc", np.array(5.0), (x for x in range(3))])
def test_what_holds_no_examples_is_named(X: Any) -> None:
    with pytest.raises(DataError, match="^X .*rows .*, not "):
        recae.apply.anomaly.AnomalyDetector(First(), 0.1).fit(X)


def test_infinite_scores_are_compared_like_others() -> None:
    """-inf, a density of 0, is the lowest score: as low as the threshold is not below it."""
    X = np.concatenate([np.full(30, -np.inf), np.arange(30.0)])[:, None]
    detector = recae.apply.anomaly.AnomalyDetector(First(), 0.1, refit=False).fit(X)
    assert detector.threshold_ == -np.inf
    assert detector.decision_function(X[[0, 40]]).tolist() == [0, np.inf]
    assert detector.predict(X[[0, 40]]).tolist() == [1, 1]


def test_a_class_and_a_model_that_is_not_fitted_are_named() -> None:
    with pytest.raises(ConfigError, match=r"instance: Autoencoder\("):
        recae.apply.anomaly.AnomalyDetector(recae.Autoencoder, 0.1).fit(np.ones((50, 2)))
    with pytest.raises(ConfigError, match="refit=False"):
        recae.apply.anomaly.AnomalyDetector(recae.Autoencoder(), 0.1, refit=False).fit(
            np.ones((50, 2))
        )
    with pytest.raises(ConfigError, match="setting.*'model__depth'") as caught:
        recae.apply.anomaly.AnomalyDetector(First()).set_params(model__depth=3)
    assert caught.value.parameter == "model__depth"


def test_a_rate_is_as_good_as_its_fraction() -> None:
    """1 / 49 in floating point is a little less; 48 held-out examples suffice all the same."""
    X = np.arange(48.0)[:, None]
    detector = recae.apply.anomaly.AnomalyDetector(First(), 1 / 49, refit=False).fit(X)
    assert detector.predict(np.array([[-1.0], [0.0]])).tolist() == [-1, 1]


def test_errors_name_rows_of_what_was_given_and_frames_of_arrow_are_split() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    detector = recae.apply.anomaly.AnomalyDetector(recae.Autoencoder(latent=1, epochs=1), 0.1)
    table = pa.table({"a": rows[:, 0], "b": rows[:, 1]})
    assert detector.fit(table).predict(table).shape == (60,)
    for row in (0, 37, 59):  # whether it is held out or not
        bad = pd.DataFrame(rows.copy(), columns=["a", "b"])
        bad.loc[row, "b"] = np.nan
        with pytest.raises(recae.DataError, match=f"row {row}, column 'b'"):
            detector.fit(bad)
