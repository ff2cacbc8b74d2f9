"""Contract checks for your own recommenders: the laws that every model of recae obeys.

from recae.testing import check_recommender

def test_my_model():
    check_recommender(MyModel(epochs=2))
"""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from recae.data import Interactions
from recae.errors import ConfigError, DataError, NotFittedError, RecaeWarning
from recae.estimators.saved import load
from recae.ranking.top_k import TopK
from recae.recommend.base import Recommender

USERS, ITEMS = 30, 14
TOLERANCE = 1e-5
"""Tolerance of scores between batches, relative to the largest score of a row."""


def check_recommender(model: Recommender) -> None:
    """Checks that a recommender obeys the laws that all models of recae obey.

    model: an instance with settings that train quickly; it is cloned, and stays as it is. It is
    fitted a dozen times on 30 users and 14 items, in two groups with their own tastes.

    - `fit` returns the model, with the item vocabulary of the data;
    - scores are float32, (users, n_items), and finite (-inf too, if the class has
      `scores_every_item = False`);
    - lists are the items by falling score, without seen items, and end in -1 where none is left;
    - the scores of a row do not depend on its batch, nor on the order of users and items: they
      differ by at most 1e-5 of the largest score of the row;
    - the same seed gives the same scores, and a second fit forgets the first;
    - unknown users, bad histories and a bad k are refused, unknown items left out with a warning;
    - parameters can be read, set and cloned; a change after a fit is refused until the next one;
    - a model that was saved and loaded is equal;
    - inputs and the global random states stay as they were;
    - one user or one item is enough.

    Raises AssertionError with the name of the law that is broken, ConfigError for what is no
    instance of Recommender.

    >>> from recae.testing import check_recommender
    >>> check_recommender(recae.EASE(l2=10.0))
    """
    if not isinstance(model, Recommender):
        raise ConfigError(
            f"check_recommender needs an instance of a Recommender, not {model!r}",
            parameter="model",
            value=model,
        )
    case = Case(model)
    for law in LAWS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecaeWarning)
                law(case)
        except Exception as error:
            name = law.__name__.removeprefix("_").replace("_", " ")
            message = f"{type(model).__name__} breaks the law {name!r}: {error}"
            raise AssertionError(message) from error


class Case:
    """A model to check: `make` gives an unfitted copy, `fitted` is one, fitted on `data`."""

    def __init__(self, model: Recommender) -> None:
        self.make, self.data = model.clone, planted()

    @cached_property
    def fitted(self) -> Recommender:
        """Fitted with seed 1; the laws leave it as it is."""
        return self.make().fit(self.data, seed=1)

    @cached_property
    def scores(self) -> np.ndarray:
        """Its scores of the training data, (users, n_items)."""
        return self.fitted.score(self.data)


def planted(seed: int = 0) -> Interactions:
    """Users of two tastes, with text ids, weights and times; one has all items, one all but one.

    >>> from recae.testing import planted
    >>> planted()
    Interactions(30 users x 14 items, 140 interactions, weights 1 to 5, density 33 %)
    """
    rng = np.random.default_rng(seed)
    half = ITEMS // 2
    table = np.zeros((USERS, ITEMS), dtype=np.float32)
    for user in range(USERS):
        taken = half * (user % 2) + rng.permutation(half)[: 3 + user % 3]
        table[user, taken] = rng.integers(1, 6, len(taken))
    table[0], table[1] = 3, 4
    table[0, 5] = 0
    rows, columns = np.nonzero(table)
    items = [f"i{column}" for column in range(ITEMS)]  # as text, i10 comes before i2
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in rows],
            "item_id": [items[column] for column in columns],
            "weight": table[rows, columns],
            "timestamp": rng.permutation(len(rows)),
        }
    )
    return Interactions.from_frame(frame)


def _expect(holds: object, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _expect_close(
    found: np.ndarray, expected: np.ndarray, what: str, rows: np.ndarray | None = None
) -> None:
    """Scores (rows, n) that differ by at most 1e-5 of the largest of their row. rows: all scores,
    where these are some."""
    _expect(found.shape == expected.shape, f"{what}: shapes {found.shape} and {expected.shape}")
    finite = np.isfinite(expected)
    _expect((np.isfinite(found) == finite).all(), f"{what}: not the same scores are finite")
    off = np.abs(np.where(finite, found, 0) - np.where(finite, expected, 0))
    every = expected if rows is None else rows
    scale = np.abs(np.where(np.isfinite(every), every, 0)).max(axis=1, keepdims=True, initial=0)
    _expect(
        (off <= TOLERANCE * scale).all(), f"{what}: scores differ by up to {off.max(initial=0):g}"
    )


def _expect_equal(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    _expect(np.array_equal(found, expected), f"{what}: the scores are not the same")


def _expect_raises(kind: type[Exception], ask: Callable[[], object], what: str) -> None:
    try:
        ask()
    except kind:
        return
    except Exception as error:
        raise AssertionError(
            f"{what} must raise {kind.__name__}, not {type(error).__name__}: {error}"
        ) from error
    raise AssertionError(f"{what} must raise {kind.__name__}")


def _fit_returns_the_model_with_the_vocabulary_of_the_data(case: Case) -> None:
    data, model = case.data, case.make()
    _expect(model.fit(data, seed=1) is model, "fit must return the model")
    _expect(model.items_ == data.items, "items_ are not those of the data")
    counts = np.diff(data.matrix.tocsc().indptr)
    _expect(np.array_equal(model.item_counts_, counts), "item_counts_ are not the training users")


def _scores_are_finite_float32(case: Case) -> None:
    model, scores = case.fitted, case.scores
    _expect(scores.shape == (USERS, ITEMS), f"scores have the shape {scores.shape}")
    _expect(scores.dtype == np.float32, f"scores are {scores.dtype}")
    proper = np.isfinite(scores) | (np.isneginf(scores) & (not model.scores_every_item))
    _expect(proper.all(), f"{int((~proper).sum())} of {scores.size} scores are not finite")


def _lists_are_the_unseen_items_by_falling_score(case: Case) -> None:
    """Compares lists of several lengths with a full sort of the scores."""
    data, model = case.data, case.fitted
    seen = data.matrix.toarray() > 0
    for k in (1, 5, ITEMS, 3 * ITEMS):  # the last is longer than the catalogue
        for exclude in (True, False):
            top = model.recommend_array(data, k, exclude_seen=exclude)
            left = np.where(seen & exclude, -np.inf, case.scores)
            expected = np.full((USERS, k), -np.inf)
            expected[:, : min(k, ITEMS)] = -np.sort(-left, axis=1)[:, :k]
            _expect_close(top.scores, expected, f"the scores of the first {k}", case.scores)
            _expect(((top.items >= 0) == np.isfinite(expected)).all(), "-1 must fill short lists")
            _expect_listed(top, left)
    frame = model.recommend(k=ITEMS)
    _expect("u1" not in set(frame["user_id"]), "a user who has all items must get none")


def _expect_listed(top: TopK, left: np.ndarray) -> None:
    """Every item once, none that must not come back, and each with its own score."""
    for row, items in enumerate(top.items):
        items = items[items >= 0]
        _expect(len(set(items.tolist())) == len(items), f"row {row} has an item twice")
        _expect(np.isfinite(left[row, items]).all(), f"row {row} lists an item that was seen")
        scores = top.scores[row, : len(items)]
        _expect_close(left[row, items][None], scores[None], f"row {row}", left[[row]])


def _a_row_does_not_depend_on_its_batch(case: Case) -> None:
    data, model, scores = case.data, case.fitted, case.scores
    top = model.recommend_array(data, 5)
    for size in (1, 7, 1000):
        part = model.recommend_array(data, 5, batch_size=size)
        _expect_close(part.scores, top.scores, f"batches of {size}", scores)
    rows = [model.score(data.select_users([row]))[0] for row in range(USERS)]
    _expect_close(np.stack(rows), scores, "one row at a time")


def _the_order_of_users_and_items_does_not_matter(case: Case) -> None:
    data, model, scores = case.data, case.fitted, case.scores
    rng = np.random.default_rng(1)
    order = rng.permutation(USERS)
    _expect_close(model.score(data.select_users(order)), scores[order], "users in another order")
    history = data.select_items(rng.permutation(ITEMS))
    _expect_close(model.score(history), scores, "items in another order")


def _the_same_seed_gives_the_same_scores(case: Case) -> None:
    data, scores = case.data, case.scores
    _expect_equal(case.make().fit(data, seed=1).score(data), scores, "seed 1 twice")
    other = case.make().fit(data, seed=2).score(data)
    uses_seed = not np.array_equal(other, scores)
    expected = case.make().uses_seed
    _expect(
        uses_seed == expected, f"uses_seed is {expected}, and another seed changes: {uses_seed}"
    )
    _expect_raises(ConfigError, lambda: case.make().fit(data, seed=-1), "a negative seed")


def _a_second_fit_forgets_the_first(case: Case) -> None:
    first = planted(seed=5).select_users(range(4, 20))
    again = case.make().fit(first, seed=3).fit(case.data, seed=1)
    _expect_equal(again.score(case.data), case.scores, "fitted twice")


def _inputs_and_random_states_stay_as_they_were(case: Case) -> None:
    """Fits and scores on the caller's matrix, and compares it and the global generators before and
    after."""
    matrix = planted().matrix.copy()
    kept, before = matrix.copy(), _random_states()
    model = case.make().fit(matrix, seed=1)
    model.score(matrix)
    model.recommend_array(matrix, exclude_seen=False)
    for name in ("data", "indices", "indptr"):
        same = np.array_equal(getattr(matrix, name), getattr(kept, name))
        _expect(same, f"the {name} of the matrix have changed")
    _expect(_random_states() == before, "a global random state has changed")
    scores = model.score(kept)
    matrix.data[:] = 7
    _expect_equal(model.score(kept), scores, "the training matrix was changed after fit")


def _random_states() -> list[str]:
    torch_state = torch.random.get_rng_state().tolist()
    return [str(state) for state in (random.getstate(), np.random.get_state(), torch_state)]


def _unknown_users_and_bad_histories_are_refused(case: Case) -> None:
    """Expects errors for strangers, for NaN, negative weights and wrong widths, and for impossible
    k."""
    model = case.fitted
    if model.needs_history:
        _expect_raises(DataError, lambda: model.recommend("nobody"), "an unknown user")
    else:
        _expect(len(model.recommend("nobody", k=ITEMS)) == ITEMS, "a stranger must get a list")
    popular = model.recommend("nobody", k=ITEMS, on_unknown="popular")
    _expect(len(popular) == ITEMS, 'on_unknown="popular" must give the most popular items')
    for what, history in (
        ("NaN", sp.csr_matrix(np.full((1, ITEMS), np.nan))),
        ("negative weights", sp.csr_matrix(-np.ones((1, ITEMS)))),
        ("another number of items", sp.csr_matrix(np.ones((1, ITEMS + 1)))),
        ("no table", object()),
    ):
        _expect_raises(DataError, partial(model.score, history), f"a history with {what}")
    bad = sp.csr_matrix(np.full((3, ITEMS), np.nan))
    _expect_raises(DataError, lambda: case.make().fit(bad), "training data with NaN")
    k: Any
    for k in (0, -1, 1.5, "3", None, True):
        _expect_raises(ConfigError, partial(model.recommend, k=k), f"k={k!r}")


def _unknown_items_are_left_out_with_a_warning(case: Case) -> None:
    """Scores a history with an item that the model does not know as if it were not there."""
    model = case.fitted
    known = {"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i9"]}
    more = {"user_id": [*known["user_id"], "b"], "item_id": [*known["item_id"], "unknown"]}
    expected = model.score(Interactions.from_frame(pd.DataFrame(known)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.score(Interactions.from_frame(pd.DataFrame(more)))
    _expect(any(issubclass(w.category, RecaeWarning) for w in caught), "there was no warning")
    _expect_close(found, expected, "a history with an unknown item")
    scores = model.score(sp.csr_matrix((2, ITEMS)))
    _expect(not np.isnan(scores).any(), "an empty history has NaN scores")
    _expect(model.score(sp.csr_matrix((0, ITEMS))).shape == (0, ITEMS), "no rows, no scores")


def _an_unfitted_model_says_so(case: Case) -> None:
    data, model = case.data, case.make()
    for ask in (model.recommend, lambda: model.score(data), lambda: model.save("nowhere")):
        _expect_raises(NotFittedError, ask, "a model that is not fitted")


def _parameters_are_read_set_and_cloned(case: Case) -> None:
    """Expects that parameters changed after the fit make scoring an error, until they are set
    back."""
    model, data, scores = case.make(), case.data, case.scores
    params = model.get_params()
    _expect(type(model)(**params).get_params() == params, "the parameters do not make the model")
    _expect_raises(ConfigError, lambda: model.set_params(no_parameter=1), "an unknown parameter")
    model.fit(data, seed=1)
    copy = model.clone()
    _expect(copy is not model and copy.get_params() == params, "a clone has other parameters")
    _expect(not hasattr(copy, "items_"), "a clone must not be fitted")
    for name, value in params.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            model.set_params(**{name: value + 1})
            _expect_raises(ConfigError, lambda: model.score(data), f"another {name} after fit")
            model.set_params(**{name: value})
    _expect_equal(model.score(data), scores, "parameters changed and set back")


def _a_loaded_model_is_equal(case: Case) -> None:
    """Compares scores, parameters and lists of a saved model bit for bit."""
    data, model = case.data, case.fitted
    with tempfile.TemporaryDirectory() as folder:
        path = model.save(Path(folder) / "model", with_history=True)
        loaded: Any = load(path)
    _expect(type(loaded) is type(model), f"it was loaded as a {type(loaded).__name__}")
    _expect(loaded.get_params() == model.get_params(), "the parameters are not the same")
    _expect(loaded.items_ == model.items_, "the items are not the same")
    _expect_equal(loaded.score(data), model.score(data), "saved and loaded")
    found, expected = loaded.recommend(), model.recommend()
    _expect(found.equals(expected), "the lists of the saved history are not the same")


def _one_user_or_one_item_is_enough(case: Case) -> None:
    """Fits on the smallest tables, and on users and items without interactions."""
    for shape in ((1, 1), (1, 6), (6, 1)):
        matrix = sp.csr_matrix(np.ones(shape))
        model = case.make().fit(matrix, seed=1)
        scores = model.score(matrix)
        _expect(not np.isnan(scores).any(), f"{shape[0]} users and {shape[1]} items: NaN scores")
        _expect(len(model.recommend()) == 0, "a user who has all items must get none")
    data = planted()
    wider = sp.csr_matrix(sp.block_diag([data.matrix, sp.csr_matrix((2, 3))]))
    model = case.make().fit(wider, seed=1)
    _expect(not np.isnan(model.score(wider)).any(), "users and items without interactions: NaN")


LAWS: tuple[Callable[[Case], None], ...] = (
    _fit_returns_the_model_with_the_vocabulary_of_the_data,
    _scores_are_finite_float32,
    _lists_are_the_unseen_items_by_falling_score,
    _a_row_does_not_depend_on_its_batch,
    _the_order_of_users_and_items_does_not_matter,
    _the_same_seed_gives_the_same_scores,
    _a_second_fit_forgets_the_first,
    _inputs_and_random_states_stay_as_they_were,
    _unknown_users_and_bad_histories_are_refused,
    _unknown_items_are_left_out_with_a_warning,
    _an_unfitted_model_says_so,
    _parameters_are_read_set_and_cloned,
    _a_loaded_model_is_equal,
    _one_user_or_one_item_is_enough,
)
