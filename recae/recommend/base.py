"""The base of every recommender: fit, score, recommend, embed, save, export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recae.data import IdMap, Interactions, ItemTable, as_interactions
from recae.data.csr import column_counts
from recae.data.splits import Fold
from recae.errors import ConfigError, DataError, TrainingInterrupted, check_flag, check_integer
from recae.estimators.params import Estimator
from recae.estimators.saved import hyperparameters, write
from recae.nn.products import multiply
from recae.ranking.batches import (
    RankedLists,
    Request,
    RowScores,
    dense,
    rank_batches,
    rows_per_batch,
)
from recae.ranking.top_k import TopK, top_k
from recae.recommend.export import write_lists
from recae.recommend.requests import align, allowed_items, check_fold, resolve, top_k_frame
from recae.recommend.saved import contents, read_history, read_items
from recae.recommend.weights import learn_weighting, set_state, state
from recae.system.digests import sha256, sha256_of_arrays, sha256_of_json
from recae.system.machine import enough_memory
from recae.system.threads import survives_fork
from recae.training import Callback, Run


class Recommender(Estimator, ABC):
    """Learns from interactions; scores and ranks items for the histories of known and new users.

    A fitted model owns its item vocabulary `items_` and matches every input to it by id.
    `item_counts_` (n_items,) int64 is the number of training users of each item; `history_` are the
    interactions it was fitted on (None after loading, unless they were saved with it).

    The class of a model declares: `name`, as on the command line; `small`, settings for quick
    tests; `uses_validation` and `uses_seed`, whether the result depends on a validation fold and on
    the seed; `scores_every_item`, whether no item gets the score -inf; `personalised`, whether
    scores are learnt from which users have which items in common; `predicts_ratings`, whether
    scores are in the unit of the weights.

    >>> all(issubclass(model, recae.Recommender) for model in recae.MODELS.values())
    True
    """

    name: ClassVar[str]
    small: ClassVar[dict[str, Any]] = {}
    uses_validation: ClassVar[bool] = False
    uses_seed: ClassVar[bool] = False
    scores_every_item: ClassVar[bool] = True
    personalised: ClassVar[bool] = True
    predicts_ratings: ClassVar[bool] = False
    items_: IdMap
    item_counts_: np.ndarray
    history_: Interactions | None
    fitted_params_: dict[str, Any]
    _facts: Mapping[str, Any] = MappingProxyType({})

    @property
    def item_embeddings_(self) -> np.ndarray:
        """One vector per item in the order of `items_`, (n_items, latent) float32, read-only.

        Raises ConfigError for a model without item embeddings.

        >>> recae.ALS(latent=2).fit(data).item_embeddings_.shape
        (4, 2)
        """
        self._check_fitted()
        vectors: np.ndarray = self._item_vectors().detach().cpu().numpy()
        vectors.flags.writeable = False  # of this view: the model's own memory stays as it is
        return vectors

    @survives_fork
    def fit(
        self,
        data: Interactions | pd.DataFrame | Any,
        validation: Fold | None = None,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        callbacks: Callback | Sequence[Callback] = (),
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Fits the model to interactions and returns self.

        data: Interactions, a frame with the default column names, or a scipy matrix.
        validation: a fold to choose the best state by, for models that train in epochs.
        seed: an integer >= 0; the same seed gives the same model. device: "auto", "cpu", "cuda".
        callbacks: one or several, called with each finished Epoch. progress: True, False, or None
        to ask the terminal. checkpoint: a file that keeps the state of the training; after an
        interruption the same call resumes from it and gives the same result; for models trained in
        epochs and ALS.

        Raises ConfigError for bad options, DataError for bad data, and on Ctrl-C
        TrainingInterrupted, with the model fitted to its best state, once an epoch is finished.

        >>> recae.EASE(l2=3).fit(data)
        EASE(l2=3)
        """
        self.check_params()
        run = Run.checked(seed, device, callbacks, progress, checkpoint)
        data = as_interactions(data)
        learn_weighting(self, data)
        if validation is not None:
            check_fold("validation", validation)
        try:
            with enough_memory(f"fitting {self!r} on {data}"):
                self._fit(data, validation, run)
        except TrainingInterrupted:
            self._own(data)
            raise
        self._own(data)
        return self

    @survives_fork
    def score(self, history: Interactions | pd.DataFrame | Any) -> np.ndarray:
        """All scores of the given histories, (rows, n_items) float32, higher is better.

        Rows follow the history's users, columns `items_`. This is the only call that holds users x
        items numbers: for lists use `recommend`. Raises DataError for an invalid history or one of
        another width, CapacityError if the scores do not fit in memory.

        >>> recae.EASE().fit(data).score(data).shape
        (5, 4)
        """
        self._check_fitted()
        matrix = align(as_interactions(history, self.items_), self.items_).matrix
        step = rows_per_batch("auto", len(self.items_))
        with enough_memory(f"{matrix.shape[0]:,} x {matrix.shape[1]:,} scores at once"):
            out = np.empty(matrix.shape, dtype=np.float32)
        for start in range(0, len(out), step):
            scores = dense(self._score_rows(matrix[start : start + step]))
            out[start : start + step] = scores.cpu().numpy()
        return out

    @survives_fork
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Interactions | pd.DataFrame | Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        batch_size: int | str = "auto",
    ) -> pd.DataFrame:
        """The best k items of each user: a frame `user_id, item_id, score, rank` (rank from 1).

        users: ids, or None for all users. history: the histories to recommend for, as Interactions,
        a frame with the default column names, or a CSR in the order of `items_` (users are then 0,
        1, ...); None means the interactions the model was fitted on. exclude_seen: leave out the
        items of the history. items: the only items allowed; exclude_items: items never to return.
        on_unknown: for users who are unknown or have no item of the model in their history, "raise"
        a DataError, "skip" them with a warning, or give "popular" items, scored by their number of
        training users. Unknown items in a history are left out with a warning that counts them; in
        `items` and `exclude_items` they raise DataError. batch_size: users ranked at a time.
        Another batch_size changes scores by at most 1e-5 relative to the row's largest, and lists
        only among items whose scores are that close; the same call gives the same bits.

        A user with fewer than k items left gets fewer rows. Equal scores are in the order of
        `items_`. Raises DataError for the data and ConfigError for the options.

        >>> recae.Popularity().fit(data).recommend([0], k=1)
           user_id  item_id  score  rank
        0        0        2    3.0     1
        """
        request = self._request(users, history, items, exclude_items, exclude_seen, on_unknown)
        most = min(check_integer("k", k), len(self.items_))  # a frame has no empty places
        ranked = rank_batches(self._score_rows, request, most, batch_size=batch_size)
        frames = [top_k_frame(request.users[rows], self.items_, top) for rows, top in ranked]
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    @survives_fork
    def recommend_array(
        self,
        history: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        batch_size: int | str = "auto",
    ) -> TopK:
        """The best k items of each history, as arrays: `items` (rows, k) columns of `items_` with
        -1 where none is left, and `scores` (rows, k) float32 with -inf there.

        Options as in `recommend`; with "skip", skipped rows are left out of the arrays. Raises
        DataError for the data and ConfigError for the options.

        >>> recae.Popularity().fit(data).recommend_array(data, k=1).items.tolist()
        [[2], [3], [0], [0], [1]]
        """
        request = self._request(None, history, items, exclude_items, exclude_seen, on_unknown)
        ranked = rank_batches(self._score_rows, request, k, batch_size=batch_size)
        return TopK.concatenate([top for _, top in ranked])

    @survives_fork
    def similar_items(self, items: Any, k: int = 10) -> pd.DataFrame:
        """The k items most similar to each: a frame `item_id, similar_item_id, score, rank`.

        The score is the cosine of the item embeddings unless the model says otherwise. Raises
        DataError for unknown items, ConfigError for a model without a notion of similarity.

        >>> recae.EASE().fit(data).similar_items([0], k=1)["similar_item_id"].tolist()
        [1]
        """
        self._check_fitted()
        codes = self.items_.encode([items] if np.isscalar(items) else items)
        parts = []
        step = rows_per_batch("auto", len(self.items_))
        for start in range(0, max(len(codes), 1), step):
            some = codes[start : start + step]
            itself = (np.arange(len(some)), some)
            parts.append(top_k(self._similarities(some), k, exclude=itself, overwrite=True))
        frame = top_k_frame(self.items_.decode(codes), self.items_, TopK.concatenate(parts))
        return frame.rename(columns={"item_id": "similar_item_id", "user_id": "item_id"})

    @survives_fork
    def embed_users(self, history: Interactions | pd.DataFrame | Any) -> np.ndarray:
        """The latent vectors of the given histories, (rows, latent) float32, in their order.

        Raises DataError for an invalid history, ConfigError for a model without latent space.

        >>> recae.ALS(latent=2).fit(data).embed_users(data).shape
        (5, 2)
        """
        self._check_fitted()
        matrix = align(as_interactions(history, self.items_), self.items_).matrix
        return self._embed_rows(matrix).cpu().numpy()

    def save(
        self, path: str | Path, *, with_history: bool = False, overwrite: bool = False
    ) -> Path:
        """Writes the model to a folder with a model card, atomically; `recae.load` reads it.

        with_history: also keep the fitted interactions, so that `recommend(users)` works after
        loading. overwrite: replace a model that is there. Raises StorageError.

        >>> recae.EASE().fit(data).save("model").name
        'model'
        """
        self._check_fitted()
        kept = self.history_ if check_flag("with_history", with_history) else None
        if with_history and kept is None:
            raise DataError("this model has no interactions to save: it was loaded without them")
        saved = contents(self, self._facts, kept)
        return write(type(self), saved, path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> Self:
        model = cls().set_params(**hyperparameters(settings))
        model.check_params()
        model.items_, model.item_counts_ = read_items(files)
        set_state(model, arrays)
        model.history_ = read_history(files, model.items_)
        model.fitted_params_, model._facts = model.get_params(), dict(settings["facts"])
        return model

    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the fitted state: they change with any bit of it.

        A digest of the kind, the hyperparameters, the items and the learnt arrays; saving and
        loading keep it. Raises NotFittedError before fit.

        >>> model = recae.EASE().fit(data)
        >>> model.fingerprint() == recae.load(model.save("same")).fingerprint()
        True
        """
        self._check_fitted()
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state(self).items()}
        about = sha256_of_json([type(self).__name__, self.get_params(), [*arrays]])
        learnt = sha256_of_arrays(self.items_.ids, self.item_counts_, *arrays.values())
        return sha256((about + learnt).encode())[:16]

    @survives_fork
    def export(
        self,
        path: str | Path,
        history: Any = None,
        k: int = 100,
        *,
        users: Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        batch_size: int | str = "auto",
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        overwrite: bool = False,
        titles: Any = None,
    ) -> int:
        """Streams the rows of `recommend(users, k, history=history, ...)` to a Parquet file.

        Columns: user_id, item_id (int64 or string), score (float32), rank (int32, from 1). Only one
        batch of them is in memory at a time. The file appears when it is complete. overwrite:
        replace a file that is there, which stays until then. titles: a mapping or Series from item
        ids to titles, or a table or its path with the columns item_id and title; the file then has
        the column title (string, null without one). Returns the number of rows.

        checkpoint: a folder, new or empty, that keeps the lists so far. After an interruption the
        same call resumes from it, writes the same file and deletes the folder. The lists are
        written twice.

        Raises DataError as `recommend` does, StorageError when the file cannot be written, and
        ConfigError for a checkpoint of another model, other histories or other options, and for a
        path that does not end in .parquet or .pq.

        >>> recae.Popularity().fit(data).export("top.parquet", data, k=1)
        5
        """
        request = self._request(users, history, items, exclude_items, exclude_seen, on_unknown)
        most = min(check_integer("k", k), len(self.items_))
        texts = None if titles is None else ItemTable(titles).texts(self.items_, missing="")

        def ranked(first: int) -> RankedLists:
            rest = request.part(slice(first, None)) if first else request
            return rank_batches(self._score_rows, rest, most, batch_size=batch_size)

        def job() -> dict[str, Any]:
            allowed = request.allowed
            return {
                "model": self.name,
                "hyperparameters": self.get_params(),
                "fingerprint": self.fingerprint(),
                **{"k": most, "exclude_seen": exclude_seen},
                "allowed items": None if allowed is None else sha256_of_arrays(allowed),
            }

        return write_lists(
            path,
            request,
            self.items_.ids,
            ranked,
            job,
            progress=progress,
            checkpoint=checkpoint,
            overwrite=overwrite,
            titles=None if texts is None else [text or None for text in texts],
        )

    # A model implements these methods: the first two and the saved form always, the rest if needed.

    @abstractmethod
    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        """Learns from `data`; hyperparameters and options are checked already."""

    @abstractmethod
    def _score_rows(self, matrix: Any) -> RowScores:
        """Scores of CSR histories in the model's item order: a fresh (rows, n_items) float32, or
        `BlockScores` such as products of factors, which are ranked without being held."""

    @abstractmethod
    def _arrays(self) -> Mapping[str, Tensor]:
        """The learnt arrays, as named tensors for saving."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        """The inverse of `_arrays`; `items_` is set already."""

    def _embed_rows(self, matrix: Any) -> Tensor:
        """The codes of CSR histories, (rows, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no latent space to embed users in")

    def _item_vectors(self) -> Tensor:
        """One vector per item in the order of `items_`, (n_items, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no item embeddings")

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """The similarities of some items to all, (len(codes), n_items); cosines by default."""
        vectors = torch.nn.functional.normalize(self._item_vectors().cpu(), dim=1)
        return multiply(vectors[torch.from_numpy(codes)], vectors)

    def _own(self, data: Interactions) -> None:
        self.items_, self.history_ = data.items, data
        self._facts = {}  # those of an earlier fit
        self.fitted_params_ = self.get_params()
        self.item_counts_ = column_counts(data.matrix)

    def _request(
        self,
        users: Any,
        history: Any,
        items: Any,
        exclude_items: Any,
        exclude_seen: bool,
        on_unknown: str,
    ) -> Request:
        """The rows to rank and what may be listed, from the options of `recommend`."""
        self._check_fitted()
        request = resolve(self.items_, self.history_, users, history, on_unknown)
        return replace(
            request,
            exclude=request.matrix if check_flag("exclude_seen", exclude_seen) else None,
            allowed=allowed_items(self.items_, items, exclude_items),
            popularity=self.item_counts_,
        )
