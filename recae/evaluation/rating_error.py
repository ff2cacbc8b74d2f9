"""How far predicted ratings are from given ones."""

from __future__ import annotations

from recae.data.splits import Fold
from recae.errors import DataError
from recae.metrics.ratings import rating_error
from recae.recommend.base import Recommender
from recae.recommend.requests import align, check_validation


def rmse(model: Recommender, fold: Fold) -> float:
    """The root mean squared error of a model's scores, taken as ratings, on the targets of a fold.

    sqrt(mean over the pairs (u, i) of the target of (score_ui - rating_ui)^2), in the unit of the
    ratings, with scores from the fold's histories (Sedhain et al. 2015). Only models of ratings,
    such as AutoRec, have scores that are ratings. Targets of items that the model does not know are
    left out with a warning that counts them. Raises DataError where no target is left.

    >>> ratings = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[5, 3.0], [4, 2], [1, 1]]))
    >>> fold = recae.data.splits.holdout_pairs(ratings, 0.5).validation
    >>> model = recae.AutoRec(latent=4, epochs=60, lr=0.1, batch_size=3).fit(ratings)
    >>> recae.evaluation.rmse(model, fold) < 1.5
    True
    """
    check_validation(fold)
    model._check_fitted()
    histories = align(fold.history, model.items_).matrix
    targets = align(fold.target, model.items_).matrix
    if not targets.nnz:
        raise DataError("the model knows no item of the targets: there is nothing to measure")
    return rating_error(model._score_rows, histories, targets)
