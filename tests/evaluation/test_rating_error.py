"""Root mean squared errors against arithmetic written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import DataError, Fold, Interactions
from recae.ranking import batches as rank

RNG = np.random.default_rng(1)


def ratings(users: int, items: int = 12) -> sp.csr_matrix:
    """Each user and each item has a level; ratings from 1 to 5 are their sum, rounded."""
    level = RNG.normal(3, 0.8, (users, 1)) + RNG.normal(0, 0.8, items)
    given = np.clip(np.round(level), 1, 5) * (RNG.random((users, items)) < 0.6)
    return sp.csr_matrix(given)


DATA = Interactions.from_csr(ratings(150))
SPLIT = recae.data.splits.holdout_pairs(DATA, 0.2, seed=1)


@pytest.mark.parametrize("cells", [1, 1 << 24])
def test_it_is_the_root_of_the_mean_of_squares(cells: int, monkeypatch) -> None:
    monkeypatch.setattr(rank, "BATCH_CELLS", cells)
    model = recae.AutoRec(latent=4, epochs=3, batch_size=10).fit(SPLIT.train)
    fold = SPLIT.validation
    scores, target = model.score(fold.history), fold.target.matrix.toarray()
    off = (scores - target)[target > 0]
    assert recae.evaluation.rmse(model, fold) == pytest.approx(np.sqrt((off**2).mean()), rel=1e-6)


def test_auto_rec_predicts_better_than_a_constant() -> None:
    model = recae.AutoRec(latent=16, epochs=60, lr=0.01, l2=1e-4, batch_size=20)
    error = recae.evaluation.rmse(model.fit(SPLIT.train), SPLIT.validation)
    given = SPLIT.validation.target.matrix.data
    assert error < 0.9 * np.sqrt(((given - SPLIT.train.matrix.data.mean()) ** 2).mean())


def test_items_that_the_model_does_not_know_are_left_out_with_a_warning() -> None:
    model = recae.AutoRec(latent=2, epochs=1).fit(Interactions.from_csr(DATA.matrix[:, :11]))
    history = Interactions.from_csr(sp.csr_matrix([[4.0, 0, 0]]), items=[0, 1, 99])
    target = Interactions.from_csr(sp.csr_matrix([[0, 3.0, 5]]), items=[0, 1, 99])
    with pytest.warns(recae.RecaeWarning, match="1 of 2 interactions .*left out"):
        error = recae.evaluation.rmse(model, Fold(history, target))
    assert error == pytest.approx(abs(model.score(history)[0, 1] - 3), rel=1e-6)
    only = Interactions.from_csr(sp.csr_matrix([[0, 0, 5.0]]), items=[0, 1, 99])
    with (
        pytest.warns(recae.RecaeWarning),
        pytest.raises(DataError, match="no item .*targets"),
    ):
        recae.evaluation.rmse(model, Fold(history, only))


def test_what_is_no_fold_or_not_fitted_is_told() -> None:
    with pytest.raises(DataError, match="Fold.*not Interactions"):
        recae.evaluation.rmse(recae.AutoRec().fit(DATA), DATA)
    with pytest.raises(recae.errors.NotFittedError):
        recae.evaluation.rmse(recae.AutoRec(), SPLIT.validation)


def test_validation_keeps_the_epoch_with_the_lowest_error() -> None:
    model = recae.AutoRec(latent=16, epochs=30, lr=0.05, batch_size=20, patience=30)
    model.fit(SPLIT.train, SPLIT.validation)
    errors = [epoch.metrics["rmse"] for epoch in model.epochs_]
    assert recae.evaluation.rmse(model, SPLIT.validation) == pytest.approx(min(errors), rel=1e-6)
    assert min(errors) < errors[0] and min(errors) < errors[-1]
    with pytest.raises(recae.ConfigError, match="metric .*AutoRec 'ndcg@10'"):
        recae.AutoRec(metric="ndcg@10").fit(DATA)
