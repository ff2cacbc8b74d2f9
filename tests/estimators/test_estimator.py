"""Hyperparameters: declared once, stored as given, checked by fit, cloned and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone as sklearn_clone
from torch import Tensor

import recae
from recae import ConfigError, Recommender
from recae.estimators.params import estimator, learnt, param


@estimator
class Constant(Recommender):
    """Scores every item alike.

    score_i = level.
    """

    name = "constant"

    level: float = param("the score", default=1.0, low=-10, high=10)
    rate: float = param("a share", default=0.5, above=0)
    count: int = param("how many", default=3, low=1)
    widths: tuple[int, ...] = param("several widths", default=(4,), low=1)
    mirror: bool = param("yes or no", default=True)
    label: str = param("any text", default="x")
    mode: str = param("how", default="slow", choices=("slow", "fast"))

    fits_: int = learnt()

    def _fit(self, data: Any, validation: Any, run: Any) -> None:
        self.fits_ = getattr(self, "fits_", 0) + 1

    def _score_rows(self, matrix: Any) -> Tensor:
        return torch.full(matrix.shape, float(self.level))

    def _arrays(self) -> Mapping[str, Tensor]:
        return {}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        pass


@estimator
class Child(Constant):
    """Has one setting more."""

    name = "child"
    extra: int = param("one more", default=0, low=0)


DEFAULTS = {
    "level": 1.0,
    "rate": 0.5,
    "count": 3,
    "widths": (4,),
    "mirror": True,
    "label": "x",
    "mode": "slow",
}


def test_the_constructor_stores_and_get_params_gives_back() -> None:
    widths = [5, 6]
    model = Constant(count="not checked here", widths=widths)
    assert model.get_params() == DEFAULTS | {"count": "not checked here", "widths": [5, 6]}
    assert model.widths is widths
    assert model.get_params(deep=False) == model.get_params()
    assert Child().get_params() == DEFAULTS | {"extra": 0}
    with pytest.raises(TypeError, match="Constant takes 0"):
        Constant(2.0)  # type: ignore[misc]
    with pytest.raises(TypeError, match="'fits_'"):
        Constant(fits_=1)  # type: ignore[call-arg]


def test_set_params_sets_all_or_nothing() -> None:
    model = Constant()
    assert model.set_params(level=2, mode="fast") is model
    assert (model.level, model.mode) == (2, "fast")
    with pytest.raises(ConfigError, match="hyperparameter .*'modes'.* mean 'mode'.*Known"):
        model.set_params(level=3, modes="slow")
    assert model.level == 2
    with pytest.raises(ConfigError, match="fits_"):
        model.set_params(fits_=3)


def test_a_clone_is_unfitted_and_independent(int_data) -> None:
    model = Child(level=3.5, widths=(1, 2), extra=9).fit(int_data)
    for copy in (model.clone(), sklearn_clone(model)):
        assert type(copy) is Child and copy.get_params() == model.get_params()
        assert not hasattr(copy, "fits_") and not hasattr(copy, "items_")
        copy.set_params(level=0)
        assert model.level == 3.5


def test_the_repr_shows_what_differs_and_evaluates_back() -> None:
    assert repr(Constant()) == "Constant()"
    model = Child(level=-0.5, widths=(7,), mirror=False, label="it's", mode="fast", extra=2)
    assert repr(model) == (
        "Child(level=-0.5, widths=(7,), mirror=False, label=\"it's\", mode='fast', extra=2)"
    )
    assert eval(repr(model)).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"level": "1"}, "number >= -10 .*<= 10, not '1'"),
        ({"level": True}, "number >= -10 .*<= 10, not True"),
        ({"level": float("nan")}, "not nan"),
        ({"level": float("inf")}, "not inf"),
        ({"level": 10.001}, "not 10.001"),
        ({"level": -11}, "not -11"),
        ({"level": 1j}, "not 1j"),
        ({"level": None}, "not None"),
        ({"level": np.ones(2)}, "number >= -10"),
        ({"rate": 0}, "number > 0, not 0"),
        ({"count": 2.0}, "integer >= 1, not 2.0"),
        ({"count": False}, "integer >= 1, not False"),
        ({"count": 0}, "not 0"),
        ({"widths": 4}, "tuple, .*integer >= 1, not 4"),
        ({"widths": (4, 0)}, r"not \(4, 0\)"),
        ({"widths": (4, 2.5)}, r"not \(4, 2.5\)"),
        ({"widths": ((4,),)}, "tuple, .*integer"),
        ({"widths": "44"}, "tuple, .*integer"),
        ({"mirror": 1}, "True .*False, not 1"),
        ({"label": 5}, "text, not 5"),
        ({"mode": "fst"}, "unknown mode .*'fst'.* mean 'fast'.*Known: fast, slow"),
        ({"mode": None}, "unknown mode .*None.*Known: fast, slow"),
    ],
)
def test_fit_checks_before_it_looks_at_the_data(params, message) -> None:
    ((name, value),) = params.items()
    with pytest.raises(ConfigError, match=message) as caught:
        Constant(**params).fit("no data")
    assert caught.value.parameter == name and caught.value.value is value
    assert f"{name} of Constant" in str(caught.value)


def test_what_is_a_number_is_accepted(int_data) -> None:
    for params in (
        {"level": np.float32(2), "count": np.int16(2), "rate": np.float64(0.1)},
        {"level": 3, "widths": [4, 5], "count": np.uint8(1)},
        {"level": -10, "rate": 1e-300, "widths": ()},
    ):
        model = Constant(**params).fit(int_data)
        assert model.get_params() == DEFAULTS | params


def test_the_docstring_lists_the_arguments() -> None:
    assert Constant.__doc__ == (
        "Scores every item alike.\n\nscore_i = level.\n\nArguments:\n"
        "    level (default 1.0): the score\n"
        "    rate (default 0.5): a share\n"
        "    count (default 3): how many\n"
        "    widths (default (4,)): several widths\n"
        "    mirror (default True): yes or no\n"
        "    label (default 'x'): any text\n"
        "    mode (default 'slow'): how"
    )
    assert Child.__doc__.endswith("    extra (default 0): one more")


def test_equal_settings_do_not_make_equal_models(int_data) -> None:
    # Estimators are compared by identity: two fits of the same settings are two models.
    assert Constant() != Constant()
    assert len({Constant(), Constant()}) == 2


def test_a_model_that_scores_all_alike_lists_items_in_their_order(int_data) -> None:
    # All scores tie, so that every list is the items that are left, in the order of the vocabulary.
    model = Constant().fit(int_data)
    seen = int_data.matrix.toarray() > 0
    top = model.recommend_array(int_data, 16)
    for row in range(36):
        left = np.flatnonzero(~seen[row])
        assert top.items[row, : len(left)].tolist() == left.tolist()
        assert (top.items[row, len(left) :] == -1).all()
    with pytest.raises(ConfigError, match="Constant .*latent"):
        model.embed_users(int_data)


def test_a_hyperparameter_of_a_later_version_is_no_other_model_at_its_default() -> None:
    data = recae.Interactions.from_csr(sp.csr_matrix(np.eye(6, 5) + 2 * np.eye(6, 5, k=1)))
    model = recae.PureSVD(latent=2).fit(data, seed=0)
    assert set(model._identity()) == {"latent", "weights"}  # as version 0.1 knew them
    raw = recae.PureSVD(latent=2, weights="both").fit(data, seed=0)
    logs = recae.PureSVD(latent=2, weights="both", weight_transform="binarise").fit(data, seed=0)
    assert logs._identity() == {**raw._identity(), "weight_transform": "binarise"}
    assert len({model.fingerprint(), raw.fingerprint(), logs.fingerprint()}) == 3
