"""AnomalyDetector: any model that scores examples, with a conformal threshold."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from recae.apply.anomaly.threshold import conformal_limit, needed, p_values
from recae.data.csr import added_up
from recae.errors import (
    ConfigError,
    DataError,
    check_flag,
    check_number,
    explained,
    unknown_option,
)
from recae.estimators.manners import Manners
from recae.rng import Stream, check_seed, numpy_generator
from recae.transformers.base import Transformer


@explained
class AnomalyDetector(Manners):
    """Flags examples that a model scores lower than almost all normal examples.

    The normal examples are split. The model is fitted on one part; its scores of the other part set
    the threshold (split conformal prediction; Papadopoulos et al., "Inductive Confidence Machines
    for Regression", 2002). An example is flagged if

        p = (1 + held-out examples that score no higher) / (1 + held-out examples) <= rate.

    For an example that is exchangeable with the held-out ones P(flagged) <= false_alarm_rate,
    exactly, at any size and for any model, on average over splits and examples. (With one split,
    the share among many examples varies by about sqrt(rate / held-out examples).)

    model: an object with fit(X) and score_samples(X) (n,), higher = more normal, such as the
    transformers of recae or IsolationForest of scikit-learn; a copy of it is fitted.
    false_alarm_rate: between 0 and 1. held_out: the share of examples that sets the threshold.
    refit: False uses the model as it is, fitted on other examples, and holds all of X out.

    After fit: model_, threshold_, calibration_ (the held-out scores, (n,) ascending).

    >>> from recae.apply.anomaly import AnomalyDetector
    >>> rng = np.random.default_rng(0)
    >>> normal, odd = rng.normal(size=(500, 6)), rng.normal(5, 1, size=(3, 6))
    >>> model = recae.Autoencoder(latent=2, epochs=5)
    >>> AnomalyDetector(model, false_alarm_rate=0.02).fit(normal).predict(odd).tolist()
    [-1, -1, -1]
    """

    _kind = "outlier_detector"
    _mark = "threshold_"

    def __init__(
        self,
        model: Any,
        false_alarm_rate: float = 0.01,
        *,
        held_out: float = 0.3,
        refit: bool = True,
    ) -> None:
        self.model = model
        self.false_alarm_rate = false_alarm_rate
        self.held_out = held_out
        self.refit = refit

    def fit(self, X: Any, y: Any = None, *, seed: int = 0, **options: Any) -> Self:
        """Fits a copy of the model on part of X, and the threshold on the rest; returns self.

        X: (n, ...) normal examples: array, torch tensor, CSR or frame. y is ignored. seed: an
        integer >= 0 for the split, passed to the model too if its fit has a seed; options: further
        arguments of its fit. Raises ConfigError for bad settings, DataError if there are too few
        held-out examples for the rate (1 / rate - 1 are needed) and if a score is NaN.

        >>> detector = recae.apply.anomaly.AnomalyDetector(recae.Autoencoder(epochs=1), 0.1)
        >>> detector.fit(X).calibration_.shape
        (30,)
        """
        rate = check_number("false_alarm_rate", self.false_alarm_rate, above=0, below=1)
        check_number("held_out", self.held_out, above=0, below=1)
        check_flag("refit", self.refit)
        self._check_model()
        seed = check_seed(seed)
        n = _length(X)
        held = n if not self.refit else int(np.ceil(float(self.held_out) * n))
        if held < needed(rate) or held < 1 or (self.refit and held >= n):
            raise DataError(
                f"{held:,} of {n:,} examples are held out; a false_alarm_rate of {rate:g} needs "
                f"{max(needed(rate), 1):,}, and the model needs others: pass more examples, or "
                "raise the rate or held_out"
            )
        if isinstance(self.model, Transformer):  # before the split, so that errors name rows of X
            self.model._checked(X)
        if self.refit:
            order = numpy_generator(seed, Stream.DETECTOR_SPLIT).permutation(n)
            inside, outside = np.sort(order[held:]), np.sort(order[:held])
            model = _copy(self.model)
            if "seed" in inspect.signature(model.fit).parameters:
                options = {"seed": seed} | options
            model.fit(_rows(X, inside), **options)
            calibration = _scores(model, _rows(X, outside))
        else:
            model, calibration = self.model, _scores(self.model, X)
        limit = conformal_limit(-calibration, rate, "held-out examples")
        self.model_, self.calibration_ = model, np.sort(calibration)
        self.threshold_ = -limit
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The model's scores, (n,) float64, higher is more normal.

        Raises NotFittedError before fit, DataError if a score is NaN, and what the model raises.

        >>> detector.score_samples(X).shape
        (100,)
        """
        if not hasattr(self, "threshold_"):
            raise self._not_fitted()
        return _scores(self.model_, X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores minus the threshold, (n,) float64: negative for flagged examples.

        Raises what `score_samples` raises.

        >>> bool(((detector.decision_function(X) < 0) == (detector.predict(X) == -1)).all())
        True
        """
        scores = self.score_samples(X)
        # If both are the same infinity, the example is not flagged.
        same = scores == self.threshold_
        found: np.ndarray = np.zeros(len(scores))
        np.subtract(scores, self.threshold_, out=found, where=~same)
        return found

    def predict(self, X: Any) -> np.ndarray:
        """+1 for normal examples and -1 for anomalies, (n,) int64, as in scikit-learn.

        Raises what `score_samples` raises.

        >>> int(detector.predict(X + 9).sum())
        -100
        """
        flagged = self.score_samples(X) < self.threshold_
        return np.where(flagged, -1, 1).astype(np.int64)

    def fit_predict(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Fits, then `predict` of the same examples, (n,) int64; options: those of `fit`.

        Raises what `fit` raises. Examples that the model was fitted on are flagged more rarely.

        >>> model = recae.Autoencoder(latent=2, epochs=1)
        >>> recae.apply.anomaly.AnomalyDetector(model, 0.1).fit_predict(X).shape
        (100,)
        """
        return self.fit(X, y, **options).predict(X)

    def p_values(self, X: Any) -> np.ndarray:
        """The probability that a normal example scores as low, (n,) float64 in (0, 1].

        Raises what `score_samples` raises.

        >>> float(detector.p_values(X + 9).max()) == 1 / 31
        True
        """
        return p_values(-self.score_samples(X), -self.calibration_)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name, for scikit-learn; with deep also those of the model. Never raises.

        >>> detector.get_params(deep=False)["held_out"]
        0.3
        """
        names = ("model", "false_alarm_rate", "held_out", "refit")
        params = {name: getattr(self, name) for name in names}
        inner = self.model.get_params() if deep and hasattr(self.model, "get_params") else {}
        return params | {f"model__{name}": value for name, value in inner.items()}

    def set_params(self, **params: Any) -> Self:
        """Changes settings, including the model's as model__NAME, and returns self.

        Raises ConfigError for a setting that does not exist.

        >>> detector.set_params(held_out=0.5).held_out
        0.5
        """
        known = self.get_params(deep=False)
        for name, value in params.items():
            owner, _, inner = name.partition("__")
            if owner == "model" and inner and hasattr(self.model, "set_params"):
                self.model.set_params(**{inner: value})
            elif name in known:
                setattr(self, name, value)
            else:
                raise unknown_option("setting of AnomalyDetector", name, known, parameter=name)
        return self

    def _input_tags(self) -> dict[str, bool]:
        tags = {name: True for name in ("sparse", "three_d_array", "allow_nan", "string")}
        return tags  # the model refuses what it does not read

    def __repr__(self) -> str:
        return f"AnomalyDetector({self.model!r}, false_alarm_rate={self.false_alarm_rate!r})"

    def _check_model(self) -> None:
        """Raises ConfigError for a class in place of a model, for an unfitted one with refit=False,
        and for one without `fit` and `score_samples`."""
        if isinstance(self.model, type):
            raise ConfigError(
                f"the model must be an instance: {self.model.__name__}(...), not the class",
                parameter="model",
                value=self.model,
            )
        if not self.refit and getattr(self.model, "__sklearn_is_fitted__", lambda: True)() is False:
            raise ConfigError(
                "refit=False needs a model fitted on other examples: fit it, or set refit=True",
                parameter="refit",
                value=self.refit,
            )
        missing = [name for name in ("fit", "score_samples") if not hasattr(self.model, name)]
        if missing:
            raise ConfigError(
                f"the model must have fit and score_samples; {type(self.model).__name__} has no "
                f"{' and no '.join(missing)}",
                parameter="model",
                value=self.model,
            )


def _length(X: Any) -> int:
    """The number of examples. Raises DataError for an object without rows."""
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape):
        return int(shape[0])
    if shape is not None or isinstance(X, str) or not hasattr(X, "__len__"):
        raise DataError(
            "X must hold examples as rows of an array, tensor, CSR or frame, not "
            f"{type(X).__name__}"
        )
    return len(X)


def _rows(X: Any, rows: np.ndarray) -> Any:
    """Selects rows of an array, tensor, CSR, frame or list."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if sp.issparse(X):
        sparse: Any = X
        return (added_up(sparse) if sparse.format == "coo" else sparse.tocsr())[rows]
    if hasattr(X, "column_names"):  # a table of Arrow
        return X.take(rows)
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def _copy(model: Any) -> Any:
    """An unfitted copy with the same settings; a deep copy of models without settings.

    Not scikit-learn's clone: it refuses a model whose constructor converts its arguments.
    """
    if hasattr(model, "clone"):
        return model.clone()
    if hasattr(model, "get_params"):
        return type(model)(**copy.deepcopy(model.get_params(deep=False)))
    return copy.deepcopy(model)


def _scores(model: Any, X: Any) -> np.ndarray:
    """One number per example, (n,) float64; infinities, such as log 0, are numbers too."""
    found = model.score_samples(X)
    found = found.detach().cpu().numpy() if hasattr(found, "detach") else found
    scores = np.asarray(found, dtype=np.float64)
    if scores.shape != (_length(X),):
        raise DataError(
            f"score_samples of {type(model).__name__} returns {scores.shape} for {_length(X):,} "
            "examples; one number for each is needed"
        )
    wrong = np.flatnonzero(np.isnan(scores))
    if len(wrong):
        raise DataError(
            f"score_samples of {type(model).__name__} returns NaN for example {wrong[0]} "
            f"({len(wrong):,} in all)"
        )
    return scores
