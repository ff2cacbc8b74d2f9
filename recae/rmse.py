"""How far predicted ratings are from given ones."""

from __future__ import annotations

import math

import numpy as np
import torch

from recae.errors import DataError
from recae.recommender import Recommender, align
from recae.recommender.rank import rows_per_batch
from recae.recommender.requests import check_validation
from recae.splits import Fold


def rmse(model: Recommender, fold: Fold) -> float:
    """The root mean squared error of a model's scores, taken as ratings, on the targets of a fold.

    sqrt(mean over the pairs (u, i) of the target of (score_ui - rating_ui)^2), in the unit of the
    ratings, with scores from the fold's histories (Sedhain et al. 2015). Only models of ratings,
    such as AutoRec, have scores that are ratings. Targets of items that the model does not know are
    left out with a warning that counts them. Raises DataError where no target is left.

    >>> ratings = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[5, 3.0], [4, 2], [1, 1]]))
    >>> fold = recae.holdout_pairs(ratings, 0.5).validation
    >>> model = recae.AutoRec(latent=4, epochs=60, lr=0.1, batch_size=3).fit(ratings)
    >>> recae.rmse(model, fold) < 1.5
    True
    """
    check_validation(fold)
    model._check_fitted()
    histories = align(fold.history, model.items_).matrix
    targets = align(fold.target, model.items_).matrix
    if not targets.nnz:
        raise DataError("the model knows no item of the targets: there is nothing to measure")
    total, step = 0.0, rows_per_batch("auto", len(model.items_))
    for start in range(0, histories.shape[0], step):
        target = targets[start : start + step]
        if not target.nnz:
            continue
        scores = model._score_rows(histories[start : start + step]).cpu()
        rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
        cells = torch.from_numpy(rows), torch.from_numpy(target.indices.astype(np.int64))
        off = scores[cells].double() - torch.from_numpy(target.data)
        total += float(off.square().sum())
    return math.sqrt(total / targets.nnz)
