"""RP3beta: random walks of three steps from a user to items."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.estimators.params import estimator, param
from recae.models.neighbours._base import SimilarityRecommender
from recae.ranking.top_k import top_k
from recae.system.progress import bar
from recae.system.threads import in_threads

CELLS = 1 << 22
"""Similarities made at a time in a thread: 32 MiB in float64."""


@estimator
class RP3beta(SimilarityRecommender):
    """Recommends where short random walks from the items of a history end, popular items less so.

    S_ij = sum over users u of (x_ui / n_i)^alpha (x_uj / n_u)^alpha / n_j^beta, of which each item
    i keeps the `neighbours` largest; score_j = sum over i in the history of x_i S_ij. n_i and n_u
    are the sums of columns and rows of X: the walk goes from an item to one of its users, and from
    there to one of the user's items.

    Paudel, Christoffel, Newell & Bernstein, "Updatable, Accurate, Diverse, and Scalable
    Recommendations for Interactive Applications", TiiS 2017; alpha is that of P3alpha (Cooper, Lee,
    Radinsky & Siani, WWW 2014), which is beta = 0. As in the comparison of Ferrari Dacrema,
    Cremonesi & Jannach (RecSys 2019), neighbours are kept by item, and a user's own first step,
    which hardly changes the ranking, is x_i. Fits in seconds, but wants to be tuned. Costs the sum
    over users of (items of the user)^2 operations; memory is n_items x neighbours. An item
    that is no neighbour of anything in the history has score -inf and is never recommended, so
    lists can be shorter than k.

    >>> recae.RP3beta().fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "rp3-beta"
    small = dict(neighbours=15)

    neighbours: int = param(
        "items kept for each item, itself not counted", default=100, low=1, usual=(10, 1000)
    )
    alpha: float = param(
        "power of the transition probabilities", default=1.0, low=0, high=2, usual=(0.2, 1.6)
    )
    beta: float = param(
        "power of the popularity that scores are divided by",
        default=0.6,
        low=0,
        high=2,
        usual=(0, 1),
    )

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """The walk item - user - item with popularity divided out, of which each item keeps its
        `neighbours` most probable items."""
        x = self._histories(data.matrix).astype(np.float64)
        of_users, of_items = (np.asarray(x.sum(axis=axis)).ravel() for axis in (1, 0))
        to_items = self._scaled(x, of_users)  # (n_users, n_items)
        popularity = np.where(of_items > 0, of_items, 1)
        to_items = sp.csr_matrix(to_items @ sp.diags(popularity**-self.beta))
        to_users = self._scaled(x.T.tocsr(), of_items)  # (n_items, n_users)
        n = data.n_items
        height, most = max(CELLS // n, 1), min(self.neighbours, n)
        starts = range(0, n, height)
        with bar(len(starts), type(self).__name__, "block", run.progress) as progress_bar:

            def nearest(start: int) -> Any:
                found = (to_users[start : start + height] @ to_items).toarray()
                found[np.arange(len(found)), np.arange(start, start + len(found))] = 0
                found[found <= 0] = -np.inf
                top = top_k(torch.from_numpy(found.astype(np.float32)), most, overwrite=True)
                row, place = np.nonzero(top.items >= 0)
                entries = top.scores[row, place], (row, top.items[row, place])
                progress_bar.update()
                return sp.csr_matrix(entries, shape=found.shape)

            self.similarity_ = sp.vstack(in_threads(nearest, starts), format="csr")
        self.similarity_.sort_indices()
        self.bias_ = None

    def _scaled(self, matrix: Any, sums: np.ndarray) -> Any:
        """(x_rc / n_r)^alpha of the entries of a CSR."""
        inverse = np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)
        values = (matrix.data * np.repeat(inverse, np.diff(matrix.indptr))) ** self.alpha
        return sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
