"""Finds tastes: fits a sparse autoencoder to the latent codes of a recommender's users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from recae.apply.steer.naming import highest, particular, together, well_known
from recae.apply.steer.tastes import Tastes, check_steerable, shifted_scores
from recae.data import as_interactions
from recae.errors import DataError, check_integer, check_option, explained
from recae.models.factors._base import FactorRecommender
from recae.recommend.base import Recommender
from recae.recommend.requests import align
from recae.rng import check_seed
from recae.system.progress import bar, check_progress
from recae.system.threads import survives_fork
from recae.transformers import SparseAutoencoder

SPARSITIES = ("top-k", "batch-top-k", "jump-relu", "l1")
"""Sparse codes that are positive, and exactly 0 where a unit is inactive."""

UPDATES = 2000
"""Updates of the sparse autoencoder, about, where no number of epochs is given."""

SAMPLE = 64
"""Users over whom the effect of a shift on the scores is averaged."""

KEPT, TOGETHER = 100, 10
"""Items kept for a unit, and how many of them are counted for co-occurrence."""


@explained
@survives_fork
def find_tastes(
    model: Recommender,
    data: Any,
    *,
    units: int = 64,
    active: int = 4,
    sparsity: str = "top-k",
    epochs: int | None = None,
    batch_size: int = 256,
    lr: float = 3e-3,
    min_users: int = 5,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool | None = None,
) -> Tastes:
    """Finds interpretable units in the latent space of a fitted recommender.

    A sparse autoencoder writes the code z of each user of `data` as a sum of few of many
    directions, z ~ b + sum_j c_j w_j. All c_j are >= 0, and `active` of them are above 0 for a
    user. After Spisak et al. (2025), who put sparse autoencoders inside collaborative filtering
    autoencoders; the dictionary is a `SparseAutoencoder`.

    model: an autoencoder, such as MultVAE, or a model of factors, such as ALS or SVDAE. data:
    histories, as for `fit`; the training data are a good choice. units: width of the sparse code;
    active: active units of a user (on average with "batch-top-k" and "jump-relu", ignored with
    "l1"). sparsity: "top-k", "batch-top-k", "jump-relu" or "l1". epochs: passes over the users;
    None for about 2,000 updates. min_users: units with fewer users are left out; units without any
    user are dead; the result counts both. seed, device, progress: as in `fit`.

    On the validation pairs of MovieLens 1M, with MultVAE, 64 units steered best (4 and 8 active
    the same, 32 or 128 units a little worse). A larger `active` explains more of the codes, but the
    units are less stable between seeds. Time: updates x batch x latent x units operations, and
    64 x n_items scores for each unit; memory: users x (latent + units) numbers.

    Raises ConfigError for a model without codes, which lists models that have them, and for bad
    options; DataError for data without histories and where no unit has `min_users` users.

    >>> model = recae.PureSVD(latent=2).fit(data)
    >>> recae.apply.steer.find_tastes(model, data, units=3, active=1, min_users=1, seed=1)
    Tastes(3 units over PureSVD, 0 dead, 0 too rare)
    """
    check_steerable(model)
    model._check_fitted()
    check_option("sparsity of find_tastes", sparsity, SPARSITIES)
    check_progress(progress)
    seed, min_users = check_seed(seed), check_integer("min_users", min_users)
    sae = SparseAutoencoder(
        latent=units, active=active, sparsity=sparsity, batch_size=batch_size, lr=lr
    )
    sae.set_params(epochs=1 if epochs is None else epochs).check_params()
    matrix = align(as_interactions(data, model.items_), model.items_).matrix
    matrix = matrix[np.flatnonzero(np.diff(matrix.indptr))]
    if matrix.shape[0] < 2:
        raise DataError("data must have at least two histories with items of the model")
    codes = model._embed_rows(matrix).cpu().numpy()
    if epochs is None:
        sae.set_params(epochs=max(UPDATES // -(-len(codes) // batch_size), 1))
    sae.fit(codes, seed=seed, device=device, progress=progress)

    strengths = sae.transform(codes)  # (users, units)
    has = strengths > 0
    users = has.sum(axis=0)
    kept = np.flatnonzero(users >= min_users)
    if not len(kept):
        raise DataError(
            f"no unit has min_users={min_users} of the {len(codes):,} users: give more data, lower "
            "min_users, or check that the users' codes differ",
            parameter="min_users",
            value=min_users,
        )
    kept = kept[np.argsort(-users[kept], kind="stable")]
    usual = strengths.sum(axis=0, dtype=np.float64)[kept] / users[kept]
    moves = (sae.dictionary_[kept] * usual[:, None]).astype(np.float32)
    with bar(len(kept), "Tastes", "unit", progress) as progress_bar:
        found = rises(model, matrix, moves, progress_bar.update)
    adjusted = particular(found, model.item_counts_)
    top = highest(adjusted, min(KEPT, int(well_known(model.item_counts_).sum())))
    return Tastes(
        model=model,
        dictionary=sae,
        units=kept,
        usual=usual,
        moves=moves,
        users=users[kept],
        of_users=len(codes),
        top=top,
        raised=np.take_along_axis(adjusted, top, axis=1),
        together=together(top[:, :TOGETHER], matrix),
        explained=sae.explained_variance(codes),
        dead=int((users == 0).sum()),
    )


def rises(
    model: Recommender,
    matrix: Any,
    moves: np.ndarray,
    after_each: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """How much each move raises each item's score, (moves, n_items) float32.

    The mean over up to SAMPLE users, spread evenly over the histories; exact for decoders that are
    linear in the code, where the effect is the same for all users.
    """
    if isinstance(model, FactorRecommender):
        return (torch.from_numpy(moves) @ model._item_vectors().T).numpy()
    places = np.unique(np.linspace(0, matrix.shape[0] - 1, SAMPLE).astype(np.int64))
    some = matrix[places]
    unshifted = shifted_scores(model, some, np.zeros_like(moves[0]))
    found = np.empty((len(moves), matrix.shape[1]), dtype=np.float32)
    for number, move in enumerate(moves):
        found[number] = (shifted_scores(model, some, move) - unshifted).mean(0).cpu().numpy()
        after_each()
    return found
