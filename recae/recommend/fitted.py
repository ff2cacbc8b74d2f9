"""The methods of a fitted recommender: score, recommend, embed, and what is similar."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal, overload

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import Interactions
from recae.errors import ConfigError, DataError, check_flag, check_integer, check_option
from recae.nn.products import multiply
from recae.ranking.batches import Request, dense, rows_per_batch
from recae.ranking.top_k import TopK
from recae.recommend.explain.mixin import Explains
from recae.recommend.one_user import OneUser
from recae.recommend.requests import (
    UNKNOWN,
    histories_of,
    resolve,
    rows_as_frame,
    top_k_frame,
    with_notes,
)
from recae.recommend.rules.declared import Rules, check_rules
from recae.recommend.rules.lists import with_rules
from recae.recommend.rules.ranked import Ruled
from recae.recommend.similar import Context, pair_scores, similar_items, similar_users
from recae.recommend.sparse import with_weights_or_ones
from recae.recommend.weights import transformed
from recae.system.machine import enough_memory
from recae.system.threads import survives_fork

History = Interactions | pd.DataFrame | Any


class Fitted(OneUser, Explains, ABC):
    """The methods of a fitted recommender, given its items and how it scores rows."""

    name: ClassVar[str]
    personalised: ClassVar[bool] = True
    item_counts_: np.ndarray
    history_: Interactions | None

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

    @overload
    def score(self, history: History, *, as_frame: Literal[False] = False) -> np.ndarray: ...

    @overload
    def score(self, history: History, *, as_frame: Literal[True]) -> pd.DataFrame: ...

    @survives_fork
    def score(self, history: History, *, as_frame: bool = False) -> np.ndarray | pd.DataFrame:
        """All scores, (rows, n_items) float32; rows by ascending user id of a table, else as given.

        Columns are in the order of `items_`; higher is better. as_frame: a frame with the user ids
        as its index and the item ids as its columns. history: as in `recommend`. This is the only
        call that holds users x items numbers: for lists use `recommend`, for some cells
        `score_pairs`. Raises DataError for an invalid history or one of another width,
        CapacityError if the scores do not fit in memory.

        >>> recae.EASE().fit(data).score(data).shape
        (5, 4)
        """
        self._check_fitted()
        named = check_flag("as_frame", as_frame)
        rows = histories_of(self, history)
        matrix, step = rows.matrix, rows_per_batch("auto", len(self.items_))
        with enough_memory(f"{matrix.shape[0]:,} x {matrix.shape[1]:,} scores at once"):
            out = np.empty(matrix.shape, dtype=np.float32)
        for start in range(0, len(out), step):
            scores = dense(self._score_rows(matrix[start : start + step]))
            out[start : start + step] = scores.cpu().numpy()
        return rows_as_frame(out, rows.users.ids, pd.Index(self.items_.ids, name="item_id"), named)

    @survives_fork
    def score_pairs(
        self,
        pairs: Any,
        *,
        history: History = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
    ) -> pd.DataFrame:
        """The scores of (user, item) pairs: a frame `user_id, item_id, score`, in their order.

        pairs: a table with a row for each, or Interactions; the index of a pandas frame is kept.
        Items of the history have a score too. history: as in `recommend`. on_unknown: for users who
        are unknown or have no item of the model in their history, "raise" a DataError, "skip" them
        (score NaN) with a warning, or take the "popular" scores of `recommend`. on_unknown_items:
        "ignore" items that the model does not know (score NaN) with a warning that counts them, or
        "raise" a DataError. A batch of users is scored at a time. Raises DataError for the data and
        ConfigError for the options.

        >>> pairs = pd.DataFrame({"user_id": [4, 0], "item_id": [2, 2]})
        >>> recae.Popularity().fit(data).score_pairs(pairs)["score"].tolist()
        [3.0, 3.0]
        """
        self._check_fitted()

        def request_of(users: np.ndarray) -> Request:
            return self._rows(users, history, on_unknown)

        return pair_scores(self._score_rows, pairs, self.items_, request_of, on_unknown_items)

    @survives_fork
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: History = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
        rules: Rules | None = None,
        batch_size: int | str = "auto",
    ) -> pd.DataFrame:
        """The best k items of each user: a frame `user_id, item_id, score, rank` (rank from 1).

        users: ids, or None for all users. history: the histories to recommend for, as Interactions,
        a table with the default column names, {user: item ids}, the item ids of one user, or a CSR
        in the order of `items_` (users are then 0, 1, ...); None means the interactions the model
        was fitted on. exclude_seen: leave out the items of the history. items: the only items
        allowed. exclude_items: items never to return; {user: items} or a table with the columns
        user_id and item_id for single users. on_unknown: for users who are unknown or have no item
        of the model in their history, "raise" a DataError, "skip" them with a warning, or give
        "popular" items, scored by their number of training users. A model that needs no history
        gives everybody its list. Unknown items in a history are left out with a warning that counts
        them. on_unknown_items: in `items` and `exclude_items`, "ignore" them with a warning that
        counts them, or "raise" a DataError. rules: business rules; what they did is counted in
        `frame.attrs["notes"]` and in a warning. batch_size: users ranked at a time. Another
        batch_size changes scores by at most 1e-5 relative to the row's largest, and lists only
        among items whose scores are that close; the same call gives the same bits.

        A user with fewer than k items left gets fewer rows. Equal scores are in the order of
        `items_`. Raises DataError for the data, also where the model knows none of `items`, and
        ConfigError for the options.

        >>> recae.Popularity().fit(data).recommend([0], k=1)
           user_id  item_id  score  rank
        0        0        2    3.0     1
        """
        limits = items, exclude_items, exclude_seen, on_unknown_items
        ruled = self._ruled(users, history, on_unknown, *limits, rules)
        most = min(check_integer("k", k), len(self.items_))  # a frame has no empty places
        ids = ruled.request.users
        frames = [
            top_k_frame(ids[rows], self.items_, top)
            for rows, top in ruled.batches(most, batch_size)
        ]
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        return with_notes(frame, ruled.notes)

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
        on_unknown_items: str = "ignore",
        rules: Rules | None = None,
        batch_size: int | str = "auto",
    ) -> TopK:
        """The best k items of each history; rows by ascending user id of a table, else as given.

        Arrays: `users` (rows,) are the ids of the rows. `items` (rows, k) are columns of `items_`,
        -1 where none is left, and `scores` (rows, k) float32, -inf there.
        Options as in `recommend`. With on_unknown="skip" users are left out of the arrays;
        `skipped` has their ids. `notes` count what `rules` did. Raises DataError for the data and
        ConfigError for the options.

        >>> recae.Popularity().fit(data).recommend_array(data, k=1).items.tolist()
        [[2], [3], [0], [0], [1]]
        """
        limits = items, exclude_items, exclude_seen, on_unknown_items
        ruled = self._ruled(None, history, on_unknown, *limits, rules)
        top = TopK.concatenate([top for _, top in ruled.batches(k, batch_size)])
        users, skipped = ruled.request.users, ruled.request.skipped
        skipped = users[:0] if skipped is None else skipped
        return replace(top, users=users, skipped=skipped, notes=ruled.notes)

    @survives_fork
    def similar_items(
        self,
        of: Any,
        k: int = 10,
        *,
        history: History = None,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
    ) -> pd.DataFrame:
        """The k items most similar to each: a frame `item_id, similar_item_id, score, rank`.

        of: one item id or several. The score is the cosine of the item embeddings unless the model
        says otherwise; of a model without any, how much the scores of a user with this one item
        differ from those of a user without history. Items without training users are similar to
        nothing. history: that of one user, as in `recommend`; the score is then the similarity plus
        the user's score, both standardised over the items that may be listed, and items of the
        history are left out. items: the only items allowed; exclude_items: items never to return;
        both treat unknown ids by `on_unknown_items` as `recommend` does. on_unknown: "raise" a
        DataError for unknown items in `of`, or "skip" them with a warning.

        Raises DataError for unknown items, ConfigError for the options and for a model that learns
        nothing about items from who has them.

        >>> recae.EASE().fit(data).similar_items([0], k=1)["similar_item_id"].tolist()
        [1]
        """
        self._check_fitted()
        return similar_items(
            self._comparing(),
            self.items_,
            self.item_counts_,
            of,
            check_integer("k", k),
            (items, exclude_items, on_unknown_items),
            on_unknown,
            None if history is None else self._context(history),
        )

    @survives_fork
    def similar_users(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: History = None,
        among: History = None,
        on_unknown: str = "raise",
    ) -> pd.DataFrame:
        """The k users most similar to each: a frame `user_id, similar_user_id, score, rank`.

        The score is the cosine of the codes of `embed_users`, and for a model without codes that of
        the histories; users without an item in common are then not similar. users, history: who
        is compared, as in `recommend`. among: the histories that are searched; None means the
        interactions the model was fitted on. A user is no neighbour of their own where both are
        those interactions. on_unknown: "raise" a DataError for users without known history, or
        "skip" them with a warning. Equal scores are in the order of the users. Memory is the codes
        and a batch of scores. Raises DataError for the data and ConfigError for the options.

        >>> recae.EASE().fit(data).similar_users([0], k=1)["similar_user_id"].tolist()
        [1]
        """
        self._check_fitted()
        check_option("on_unknown", on_unknown, ("raise", "skip"))
        asked = resolve(self, users, history, on_unknown)
        searched = resolve(self, None, among, "popular")
        itself = history is None and among is None
        return similar_users(self._user_rows, asked, searched, check_integer("k", k), itself)

    @overload
    def embed_users(self, history: History, *, as_frame: Literal[False] = False) -> np.ndarray: ...

    @overload
    def embed_users(self, history: History, *, as_frame: Literal[True]) -> pd.DataFrame: ...

    @survives_fork
    def embed_users(self, history: History, *, as_frame: bool = False) -> np.ndarray | pd.DataFrame:
        """Latent vectors, (rows, latent) float32, rows by ascending id of a table, else as given.

        history: as in `recommend`. as_frame: a frame with the user ids as its index and a column
        for each number. Raises DataError for an invalid history, ConfigError without latent space.

        >>> recae.ALS(latent=2).fit(data).embed_users(data).shape
        (5, 2)
        >>> recae.ALS(latent=2).fit(data).embed_users(data, as_frame=True).index.tolist()
        [0, 1, 2, 3, 4]
        """
        self._check_fitted()
        named = check_flag("as_frame", as_frame)
        rows = histories_of(self, history)
        codes = self._embed_rows(rows.matrix).cpu().numpy()
        return rows_as_frame(codes, rows.users.ids, None, named)

    # A model implements `_score_rows` (see `OneUser`), and these methods if needed.

    def _embed_rows(self, matrix: Any) -> Tensor:
        """The codes of CSR histories, (rows, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no latent space to embed users in")

    def _item_vectors(self) -> Tensor:
        """One vector per item in the order of `items_`, (n_items, latent) float32."""
        raise ConfigError(f"{type(self).__name__} has no item embeddings")

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """The similarities of some items to all, (len(codes), n_items): cosines, or, without item
        vectors, the scores of histories with one item minus those of an empty history."""
        return self._comparing()(codes)

    def _comparing(self) -> Callable[[np.ndarray], Tensor]:
        """`_similarities`, with the unit vectors of all items made once for many calls."""
        if type(self)._similarities is not Fitted._similarities:
            return self._similarities
        try:
            vectors = torch.nn.functional.normalize(self._item_vectors().cpu(), dim=1)
        except ConfigError:
            return self._single_scores
        return lambda codes: multiply(vectors[torch.from_numpy(codes)], vectors)

    def _popularity(self) -> np.ndarray:
        """The scores of strangers with on_unknown="popular", (n_items,)."""
        return self.item_counts_

    def _single_scores(self, codes: np.ndarray) -> Tensor:
        """The scores of histories of one item each, less those of an empty history, (n, n_items).
        Raises ConfigError for a model that gives everybody the same."""
        if not self.personalised:
            raise ConfigError(
                f"{type(self).__name__} has no item embeddings, and learns nothing about items "
                "from who has them: no items are similar to it"
            )
        n = len(codes)
        starts = np.append(np.arange(n + 1), n)  # the last row is empty
        cells = np.ones(n, dtype=np.float32), codes.astype(np.int32), starts
        histories = sp.csr_matrix(cells, shape=(n + 1, len(self.items_)))
        scores = dense(self._score_rows(histories)).cpu()
        usual = torch.where(scores[-1].isfinite(), scores[-1], 0)
        return scores[:-1] - usual

    def _context(self, history: Any) -> Context:
        """The scores and the items of the one history given as a context. Raises DataError for
        several users."""
        request = self._rows(None, history, "raise")
        if len(request) != 1:
            raise DataError(
                f"history holds {len(request):,} users, and the context of similar items is one "
                "user: give the item ids of one",
                parameter="history",
                value=history,
            )
        scores = dense(self._score_rows(request.matrix))[0].cpu()
        return Context(scores, torch.from_numpy(request.matrix.indices.astype(np.int64)))

    def _user_rows(self, matrix: Any) -> Any:
        """What users are compared by: codes of CSR histories, a tensor (rows, latent), or the
        histories themselves, CSR."""
        try:
            return self._embed_rows(matrix).cpu()
        except ConfigError:
            used = getattr(self, "weights", "neither") in ("both", "input")
            return with_weights_or_ones(transformed(self, matrix) if used else matrix, used)

    def _ruled(
        self,
        users: Any,
        history: Any,
        on_unknown: str,
        items: Any,
        exclude_items: Any,
        exclude_seen: bool,
        on_unknown_items: str,
        rules: Rules | None,
        *,
        lazily: bool = False,
    ) -> Ruled:
        """The rows to rank under all that `recommend` may be given. lazily: as in `resolve`."""
        check_rules(rules)
        request = self._rows(users, history, on_unknown, lazily=lazily)
        limits = items, exclude_items, exclude_seen, on_unknown_items
        request = with_rules(request, self.items_, *limits)
        how = self.items_, self._item_vectors, self._similarities
        return Ruled.of(self._score_rows, request, rules, *how)

    def _rows(self, users: Any, history: Any, on_unknown: str, *, lazily: bool = False) -> Request:
        """The rows to score. Strangers to a model that needs no history are like everybody."""
        self._check_fitted()
        check_option("on_unknown", on_unknown, UNKNOWN)
        wanted = on_unknown if self.needs_history or on_unknown == "skip" else "popular"
        request = resolve(self, users, history, wanted, lazily=lazily)
        popularity = self._popularity() if on_unknown == "popular" else None
        return replace(request, popularity=popularity)
